/* Directions that cross: the two halves of a port over one session, such as TLS, whose attempts in one direction may
 * wait for the other. See docs/half.md, "What an attempt waits for", and Port.swift.
 *
 *   spin -a crossing.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan               (sleeps: an invalid end state)
 *   spin -a crossing.pml && gcc -O2 -DNP -DNOFAIR -o pan pan.c && ./pan -l       (spins: a cycle)
 *
 * It stands for: `perform` with `tellOther`, `note` of the half and of the port, `readinessChanged`, `stir`, and
 * `blocked` with `register`. Without -DSIGNALLED the transport has a descriptor: the reactor's registration is edge-triggered,
 * has one part for each half, and tells at once of what is there when it changes. With -DSIGNALLED the transport
 * tells of everything itself, from a thread of its own.
 *
 * It leaves out: queues, threads that poll, deadlines and close (half.pml), and errors. One process per half is its caller
 * and the reactor that drives for it. One step is a critical section, a system call, or an attempt, in which the session
 * has a lock of its own.
 *
 * The session wants to write, or to read, before either direction gets on: at the start and whenever the peer asks
 * for it anew (REKEYS times). With -DTANGLED each direction waits for the other at the start. Bytes are messages, and there
 * is room for one.
 *
 * -DMISTAKE_FIRST_CROSSING_ONLY  only the first crossing of the port, not of each half, has another attempt follow
 * -DMISTAKE_NO_ATTEMPT_FOLLOWS   no crossing has
 * -DMISTAKE_OWN_DIRECTION_ONLY   readiness is told to the half of that direction, whatever the attempts wait for
 * -DMISTAKE_NEVER_TELL           what an attempt does to the session is not told to the other half
 * -DMISTAKE_TELL_ALWAYS          it is told even if both halves wait crosswise: they wake each other for ever
 *                                (with -DTANGLED)
 * -DMISTAKE_KEEP_REGISTRATION    `isRegistered` stays up when what the half waits for changes
 */
#ifndef CALLS
#define CALLS 2                      /* of each half */
#endif
#ifndef REKEYS
#define REKEYS 1
#endif
#define READABLE 0                   /* as a direction: to receive; as readiness: bytes are there */
#define WRITABLE 1                   /* to send; there is room */
#define NEITHER 2

mtype = { wantsWrite, wantsRead, wantsOther, ready };
mtype = { none, moved, waits };

/* ---- of each half, under its lock ---- */
bool turn[2], stirred[2] = true, called[2], waiting[2], isRegistered[2];
byte interest[2];                    /* changes in the turn */
/* ---- of the port, under its lock; `crosses` is an atomic ---- */
bool crosses;
byte awaited[2];                     /* awaitedToReceive, awaitedToSend */
byte watchedFor[2] = NEITHER;        /* watchedToReceive, watchedToSend */
/* ---- the kernel ---- */
byte avail;
#ifdef TANGLED
bool room = false;
#else
bool room = true;
#endif
bool event[2];                       /* readiness not yet told */
/* ---- the session and the world ---- */
#ifdef TANGLED
mtype session = wantsOther;          /* receiving waits for room, and sending for bytes */
#else
mtype session = wantsWrite;
#endif
byte rekeys, received, toCome = CALLS + 1; bool halt; byte ndone;

#ifdef SIGNALLED
#define TOLD(r) true
#else
#define TOLD(r) (watchedFor[READABLE] == r || watchedFor[WRITABLE] == r)
#endif

/* Half.stir: raises, and passes. */
inline stir(sd) {
  atomic {
    stirred[sd] = true;
    if
    :: waiting[sd] && !turn[sd] -> called[sd] = true
    :: !waiting[sd] && !turn[sd] && isRegistered[sd] ->
#ifndef SIGNALLED
       isRegistered[sd] = false; watchedFor[sd] = NEITHER     /* nobody waits for it: the watching ends */
#else
       skip
#endif
    :: else -> skip
    fi
  }
}

/* In the turn. The session does what it can, for whichever direction, and says what it waits for. */
inline attempt(ad) {
  atomic {
    outcome = none;
    do
    :: session == wantsWrite && room -> room = false; session = wantsRead
    :: session == wantsWrite && !room -> outcome = waits; readiness = WRITABLE; break
    :: session == wantsRead && avail > 0 -> avail--; session = ready
    :: session == wantsRead && avail == 0 -> outcome = waits; readiness = READABLE; break
    :: session == wantsOther && ad == READABLE && room -> room = false; session = ready
    :: session == wantsOther && ad == READABLE && !room -> outcome = waits; readiness = WRITABLE; break
    :: session == wantsOther && ad == WRITABLE && avail > 0 -> avail--; session = ready
    :: session == wantsOther && ad == WRITABLE && avail == 0 -> outcome = waits; readiness = READABLE; break
    :: session == ready && ad == READABLE && avail > 0 -> avail--; outcome = moved; break
    :: session == ready && ad == READABLE && avail == 0 -> outcome = waits; readiness = READABLE; break
    :: session == ready && ad == WRITABLE && room -> room = false; outcome = moved; break
    :: session == ready && ad == WRITABLE && !room -> outcome = waits; readiness = WRITABLE; break
    od
  }
  /* Port.perform */
  if
  :: crosses -> tellOther(ad)
  :: else -> skip
  fi
}

inline tellOther(td) {
  atomic {
    if
#ifdef MISTAKE_NEVER_TELL
    :: true -> tells = false
#else
    :: outcome == moved || readiness == td -> tells = awaited[1 - td] == td
#ifdef MISTAKE_TELL_ALWAYS
    :: else -> tells = awaited[1 - td] != 1 - td
#else
    :: else -> tells = false                     /* two that wait crosswise would never rest */
#endif
#endif
    fi
  }
  if :: tells -> stir(1 - td); tells = false :: else -> skip fi
}

/* Half.note and Port.note, in the turn. */
inline note(nd) {
  if
  :: outcome != waits || interest[nd] == readiness -> skip
  :: else ->
     interest[nd] = readiness;
     atomic {                                    /* Port.note(_:waitsFor:) */
       awaited[nd] = readiness;
       needsAnotherAttempt = readiness != nd;
#ifdef MISTAKE_FIRST_CROSSING_ONLY
       if :: crosses -> needsAnotherAttempt = false :: else -> skip fi;
#endif
#ifdef MISTAKE_NO_ATTEMPT_FOLLOWS
       needsAnotherAttempt = false;
#endif
       if :: readiness != nd -> crosses = true :: else -> skip fi
     }
     atomic {
#if !defined(SIGNALLED) && !defined(MISTAKE_KEEP_REGISTRATION)
       isRegistered[nd] = false;
#endif
       if :: needsAnotherAttempt -> stirred[nd] = true :: else -> skip fi;
       needsAnotherAttempt = false
     }
  fi
}

/* EPOLL_CTL_ADD or MOD: tells at once of what is there. */
inline register(gd) {
  atomic {
    watchedFor[gd] = interest[gd];
    if :: TOLD(READABLE) && avail > 0 -> event[READABLE] = true :: else -> skip fi;
    if :: TOLD(WRITABLE) && room -> event[WRITABLE] = true :: else -> skip fi
  }
  isRegistered[gd] = true                        /* edges stir from before this on */
}

proctype Half(byte me) {
  byte calls, readiness; mtype outcome; bool tells, needsAnotherAttempt, mine;
  do
  :: calls == CALLS -> break
  :: else ->
     calls++;
     atomic { waiting[me] = true; turn[me] = true; mine = true }
     do
     :: !mine -> atomic { called[me] -> called[me] = false; turn[me] = true; mine = true }   /* parked */
     :: mine ->
        stirred[me] = false;
        attempt(me);
        note(me);
        if
        :: outcome == moved ->
           atomic { waiting[me] = false; turn[me] = false; mine = false; called[me] = false; readiness = 0; outcome = none };
           break
        :: else ->
           do                                    /* blocked */
           :: atomic {
                if
                :: stirred[me] -> break
                :: !stirred[me] && isRegistered[me] -> turn[me] = false; mine = false; break
                :: !stirred[me] && !isRegistered[me] -> skip
                fi
              }
              register(me)
           od
        fi;
        readiness = 0; outcome = none
     od
  od;
  ndone++
}

/* On the reactor's thread, or the transport's. */
inline readinessChanged() {
#ifndef MISTAKE_OWN_DIRECTION_ONLY
  isForBoth = crosses;
#endif
  if :: isForBoth || told == READABLE -> stir(READABLE) :: else -> skip fi;
  if :: isForBoth || told == WRITABLE -> stir(WRITABLE) :: else -> skip fi;
  isForBoth = false; told = 0
}

proctype Teller() {
  bool isForBoth; byte told;
  do
  :: atomic { event[READABLE] -> event[READABLE] = false; told = READABLE };
     readinessChanged()
  :: atomic { event[WRITABLE] -> event[WRITABLE] = false; told = WRITABLE };
     readinessChanged()
  :: halt -> break
  od
}

proctype Peer() {
  do
  :: atomic { toCome > 0 && avail < 2 -> toCome--; avail++; if :: TOLD(READABLE) -> event[READABLE] = true :: else -> skip fi }
  :: atomic { !room && !halt -> room = true; if :: TOLD(WRITABLE) -> event[WRITABLE] = true :: else -> skip fi }
  :: atomic { rekeys < REKEYS && session == ready && ndone < 2 ->   /* the session is asked for a round more */
       rekeys++; toCome++; if :: session = wantsWrite :: session = wantsRead fi }
  :: halt && toCome == 0 -> break
  :: halt && toCome > 0 -> toCome = 0
  od
}

active proctype Final() {
  ndone == 2;
  halt = true
}

init {
  atomic {
    interest[READABLE] = READABLE; interest[WRITABLE] = WRITABLE;
    awaited[READABLE] = READABLE; awaited[WRITABLE] = WRITABLE;
    watchedFor[READABLE] = NEITHER; watchedFor[WRITABLE] = NEITHER;
#ifdef SIGNALLED
    isRegistered[READABLE] = true; isRegistered[WRITABLE] = true;
#endif
    run Half(READABLE); run Half(WRITABLE); run Teller(); run Peer()
  }
}
