/* A thread that waits alone, with the turn and without a place. See docs/half.md, "A thread that is alone",
 * ReceiveHalf+LoneWait.swift and HalfState.swift (`recall`, `wakePoller`).
 *
 *   spin -a alone.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan
 *
 * It stands for a receiving half with a thread (0) that waits alone whenever it can, and another caller (1): a thread that waits,
 * with -DHASTY one with a zero timeout, with -DTASK a task, for which the reactor watches from the start. MESSAGES messages
 * come from the peer, and bring readiness. With -DHIDDEN they come where no poll sees them, such as a transport of a
 * user, and are signalled in process. With -DLATE the lone thread has a deadline.
 * With -DNO_CLOSE nobody closes, and every caller must come back by itself; with -DSILENT nothing comes, and
 * close comes when the caller with a zero timeout is back. Critical sections and system calls are atomic.
 *
 * It leaves out: the way past the lock (turnstile.pml), bytes, and what places do among each other (half.pml).
 *
 * -DMISTAKE_ENTRY_UNTOLD         a caller that enters does not recall the thread (with -DSILENT)
 * -DMISTAKE_CLOSE_UNTOLD         close does not recall it
 * -DMISTAKE_SIGNAL_UNTOLD        an event that the poll does not show does not recall it (with -DHIDDEN)
 * -DMISTAKE_ALONE_BEFORE_OTHERS  the thread begins to wait although a caller has come (with -DSILENT)
 * -DMISTAKE_ALONE_THOUGH_STIRRED it begins to wait although something has happened since its attempt (with -DHIDDEN)
 * -DMISTAKE_TURN_KEPT            its deadline ends its wait, and it does not give the turn back
 */
#ifdef SILENT
#define HASTY
#define MESSAGES 0
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif
#ifdef HIDDEN
#define shown false
#else
#define shown (data > 0)
#endif
#ifdef LATE
#define late passed
#else
#define late false
#endif
#ifdef MISTAKE_ALONE_BEFORE_OTHERS
#define isAlone true
#else
#define isAlone (qn == 0)
#endif
#ifdef MISTAKE_ALONE_THOUGH_STIRRED
#define isCalm true
#else
#define isCalm !stirred
#endif

/* ---- guarded by the half's mutex ---- */
byte q[2], qn;                      /* places in line */
bool turn, stirred = true, closed, isOut, called, lone;
bool decided[2], got[2], isLate, owed;
/* ---- wake-ups, the world ---- */
bool sig[2], polling[2], isDone[2];
byte data; bool passed;             /* messages that an attempt would bring; whether the deadline has passed */

inline append(ae)  { q[qn] = ae; qn++ }
inline prepend(pe) { if :: qn == 1 -> q[1] = q[0] :: else -> skip fi; q[0] = pe; qn++ }
inline leave(le) {
  if
  :: qn > 0 && q[0] == le -> q[0] = q[1]; q[1] = 0; qn--
  :: qn == 2 && q[1] == le -> q[1] = 0; qn--
  :: else -> skip
  fi
}
hidden byte h_;
inline decide(de, dg) {
  h_ = de;
  assert(!decided[h_]);
  leave(h_); decided[h_] = true; got[h_] = dg; sig[h_] = true; h_ = 0
}
inline recall() { if :: lone -> lone = false; sig[0] = true :: else -> skip fi }
inline pass() {
  if
  :: !turn && qn > 0 ->
     if
#ifdef TASK
     :: q[0] == 1 -> if :: stirred -> called = true :: else -> skip fi
#endif
     :: else -> if :: !polling[q[0]] -> sig[q[0]] = true :: else -> skip fi
     fi
  :: else -> skip
  fi
}
inline settleLate() {
  if
  :: owed && !decided[1] -> assert(isLate); owed = false; decide(1, false)
  :: else -> skip
  fi
}
inline releaseTurn() {
  settleLate(); turn = false;
  if :: closed -> isOut = true :: else -> skip fi;
  pass()
}

/* Drives with the turn until an attempt finds nothing. */
inline drive() {
  do
  :: atomic {
       closed || qn == 0 -> stirred = true; releaseTurn()
     } -> break
  :: atomic { !closed && qn > 0 -> stirred = false };
     atomic {
       assert(!isOut && turn);
       if
       :: data > 0 -> data--; moved = true
       :: else -> moved = false
       fi
     };
     atomic {
       if
       :: closed -> releaseTurn(); stop = true
       :: !closed && moved && qn > 0 -> decide(q[0], true); stop = false
       :: !closed && moved && qn == 0 -> data++; stirred = true; releaseTurn(); stop = true
       :: !closed && !moved && (stirred && qn > 0) -> stop = false
       :: !closed && !moved && !(stirred && qn > 0) -> releaseTurn(); stop = true
       fi
     };
     if :: stop -> break :: else -> skip fi
  od
}

/* A thread with a place. */
inline waitInLine(me) {
  do
  :: atomic {
       if
       :: decided[me] -> next = 0
       :: !decided[me] && qn > 0 && q[0] == me && !turn && stirred -> turn = true; next = 1
       :: !decided[me] && qn > 0 && q[0] == me && !turn && !stirred -> polling[me] = true; next = 2
       :: else -> next = 2
       fi
     };
     if
     :: next == 0 -> break
     :: next == 1 -> drive()
     :: next == 2 ->
        if
        :: sig[me] -> sig[me] = false
        :: polling[me] && shown -> skip
        fi;
        atomic {
          polling[me] = false;
          if :: !decided[me] && qn > 0 && q[0] == me && !turn && !closed -> turn = true; next = 1 :: else -> next = 0 fi
        };
        if :: next == 1 -> drive() :: else -> skip fi
     fi
  od
}

active proctype Alone() {
  byte next; bool moved, stop, begun;
  /* enters */
  atomic {
    if
    :: closed -> next = 0
    :: !closed && !turn && qn == 0 -> turn = true; next = 1
    :: else -> append(0); next = 2
    fi
  };
  if
  :: next == 0 -> goto returns
  :: next == 2 -> goto inLine
  :: else -> skip
  fi;
  atomic { stirred = false };
again:
  atomic {
    assert(!isOut && turn);
    if :: data > 0 -> data--; moved = true :: else -> moved = false fi
  };
  if
  :: moved ->
     got[0] = true;
     /* gives the turn back; others are served first */
     drive();
     goto returns
  :: else -> skip
  fi;
  /* begins to wait */
  atomic {
    begun = !closed && !late && isAlone && isCalm;
    lone = begun
  };
  if
  :: begun ->
     if
     :: sig[0] -> sig[0] = false
     :: shown -> skip
     :: late -> skip
     fi;
#ifdef MISTAKE_TURN_KEPT
     if :: late -> goto returns :: else -> skip fi;
#endif
     /* ends the wait */
     atomic { lone = false; next = (closed -> 0 : 1); if :: next == 1 -> stirred = false :: else -> skip fi };
     if :: next == 1 -> goto again :: else -> skip fi
  :: else -> skip
  fi;
  /* the long way: another attempt if something has happened, then a place */
  atomic {
    if
    :: closed -> releaseTurn(); next = 0
    :: !closed && stirred -> stirred = false; next = 1
    :: !closed && !stirred && late -> releaseTurn(); next = 0
    :: else -> prepend(0); releaseTurn(); next = 2
    fi
  };
  if
  :: next == 0 -> goto returns
  :: next == 1 -> goto again
  :: else -> skip
  fi;
inLine:
  waitInLine(0);
returns:
  isDone[0] = true
}

active proctype Other() {
  byte next; bool moved, stop;
  atomic {
    if
    :: closed -> decided[1] = true; next = 0
    :: !closed && !turn && qn == 0 -> turn = true; append(1); next = 1
    :: else ->
       append(1);
#ifdef HASTY
       isLate = true;
#endif
#ifndef MISTAKE_ENTRY_UNTOLD
       recall();
#endif
       next = 2
    fi
  };
  if
  :: next == 2 ->
     /* drives first */
     atomic {
       if
       :: !decided[1] && !turn && qn > 0 && !closed -> turn = true; next = 1
       :: else ->
#ifdef HASTY
          if :: turn -> stirred = true :: else -> skip fi;
#endif
          next = 2
       fi
     }
  :: else -> skip
  fi;
  if :: next == 1 -> drive() :: else -> skip fi;
#ifdef HASTY
  /* gives up: leaves at once, or with the attempt that it is owed */
  atomic {
    if
    :: !decided[1] && isLate && (turn || stirred) ->
       owed = true;
       if :: !turn && qn > 0 && polling[q[0]] -> sig[q[0]] = true :: else -> skip fi;
       pass()
    :: !decided[1] && !(isLate && (turn || stirred)) -> decide(1, false); pass()
    :: else -> skip
    fi
  };
#endif
#ifdef TASK
  decided[1];
#else
  waitInLine(1);
#endif
  isDone[1] = true
}

#ifdef TASK
active proctype Reactor() {
  bool moved, stop;
  do
  :: atomic { called -> called = false };
     atomic { if :: !turn && qn > 0 && !closed -> turn = true; stop = false :: else -> stop = true fi };
     if :: !stop -> drive() :: else -> skip fi
  :: isDone[0] && isDone[1] -> break
  od
}
#endif

/* Each message is signalled after it has come: as an edge to the reactor, or in process. */
active proctype Peer() {
  byte left = MESSAGES;
  do
  :: left == 0 -> break
  :: left > 0 ->
     left--;
     data++;
     atomic {
       if
       :: !closed ->
          stirred = true; pass();
#ifdef HIDDEN
#ifndef MISTAKE_SIGNAL_UNTOLD
          recall();
#endif
          if :: qn > 0 && polling[q[0]] -> sig[q[0]] = true :: else -> skip fi
#endif
       :: else -> skip
       fi
     }
  od
}

active proctype Clock() { passed = true }

#ifndef NO_CLOSE
active proctype Closer() {
#ifdef SILENT
  isDone[1];
#endif
  atomic {
    closed = true;
#ifndef MISTAKE_CLOSE_UNTOLD
    recall();
#endif
    do :: qn > 0 -> decide(q[0], false) :: else -> break od;
    if :: !turn -> isOut = true :: else -> skip fi
  };
  isDone[0] && isDone[1] && !turn;
  assert(isOut && qn == 0 && !lone)
}
#endif
