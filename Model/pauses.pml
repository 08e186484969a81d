/* Pauses: attempts to send that no readiness tells about, and are repeated after a time. See docs/half.md, "Pauses",
 * HalfState.swift (`pause`, `headWaits`, `putAside`, `needsRetryTimer`, `endPause`) and SendHalf.swift.
 *
 *   spin -a pauses.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan              (datagrams: places stand aside)
 *   spin -DSTREAM -a pauses.pml && ...                                           (a stream: the head waits)
 *
 * It stands for a sending half of which the reactor always hears (`isRegistered`), with a task (0), a blocked thread (1) and
 * a third caller: a thread whose step is a flush; with -DTASKS a task; with -DHASTY a thread with a zero timeout. A datagram
 * or message is one step.
 * The transport refuses an attempt with `retryLater` as often as it likes, REFUSALS times in all: no readiness comes then,
 * although the descriptor may be ready all the time. BLOCKS attempts would block, and readiness comes later. Time is one
 * event: `hasPassed` becomes true some time after `retryAt` was set.
 *
 * It leaves out: bytes, orphans and memory (half.pml), addresses (each datagram has one of its own; the flush stands
 * for all that waits behind places aside), and the time between unlocking and setting the timer. Only the earliest of the
 * timers fires, because the later ones find nothing to do that it has left.
 *
 * -DMISTAKE_NO_TIMER_FOR_NEXT  no timer is set when a thread at the head, which was to end the pause, is followed by a
 *                              task (with -DSTREAM)
 * -DMISTAKE_ASIDE_UNTOLD       a thread whose place another driver puts aside is not told, and waits without a limit
 * -DMISTAKE_CLOSE_LEAVES_ASIDE close decides only those who wait in line
 * -DMISTAKE_QUIET_END          `endPause` does not stir (with -DSTREAM)
 * -DMISTAKE_OLD_TIMER_STAYS    a timer of a pause that has ended early does not see to the next one
 * -DMISTAKE_LATER_TIMER_STAYS  no earlier timer is set for a pause that is shorter than the one before, which has ended early
 * -DMISTAKE_HASTY_LEAVES       a caller with a zero timeout, alone, meets a pause and returns the turn as if readiness would
 *                              tell those behind it (with -DSTREAM)
 * -DMISTAKE_HEAD_UNTOLD        a thread that polls at the head is not told that another driver's attempt has begun a pause
 *                              (with -DSTREAM and BLOCKS)
 */
#define N 3
#define NOBODY N
#ifndef REFUSALS
#define REFUSALS 2
#endif
#ifndef BLOCKS
#define BLOCKS 0
#endif
#ifdef TASKS
#define TASK(e) ((e) != 1)
#else
#define TASK(e) ((e) == 0)
#endif
#ifdef HASTY
#define IS_HASTY(e) ((e) == 2)
#else
#define IS_HASTY(e) false
#endif
#if defined(TASKS) || defined(STREAM) || defined(HASTY)
#define FLUSH(e) false
#else
#define FLUSH(e) ((e) == 2)
#endif

/* ---- guarded by the half's mutex ---- */
byte q[N], qn, a[N], an;             /* in line, and aside */
bool turn, stirred = true, called, closed;
bool retryAt, isHeadPaused, hasRetryTimer, hasLate;
bool decided[N], sent[N], gaveUp[N], wasTried[N];
/* ---- wake-ups, time, the world ---- */
bool sig[N], polling[N], limited[N]; /* limited: its thread waits no longer than `retryAt` */
bool hasPassed;                      /* what `retryAt` says */
bool isOld, isLater;                 /* the timer is for a pause that is over; and for a later time than `retryAt` */
bool ready = true, owed;             /* what polling reports; whether readiness will be signalled */
byte refusals, blocks; bool halt; byte ndone;
mtype = { accepted, refused, blocked };

hidden byte i_;
inline removeInLine(re) {
  i_ = 0;
  do :: i_ < qn && q[i_] != re -> i_++ :: else -> break od;
  if
  :: i_ < qn ->
     qn--;
     do :: i_ < qn -> q[i_] = q[i_ + 1]; i_++ :: else -> break od;
     q[qn] = 0
  :: else -> skip
  fi;
  i_ = 0
}
inline removeAside(re) {
  i_ = 0;
  do :: i_ < an && a[i_] != re -> i_++ :: else -> break od;
  if
  :: i_ < an ->
     an--;
     do :: i_ < an -> a[i_] = a[i_ + 1]; i_++ :: else -> break od;
     a[an] = 0
  :: else -> skip
  fi;
  i_ = 0
}
inline isAside(ie) {
  isIn = false; i_ = 0;
  do :: i_ < an -> if :: a[i_] == ie -> isIn = true :: else -> skip fi; i_++ :: else -> i_ = 0; break od
}
inline prepend(pe) {
  i_ = qn;
  do :: i_ > 0 -> q[i_] = q[i_ - 1]; i_-- :: else -> break od;
  q[0] = pe; qn++
}
inline decide(de, ds, dm) {
  assert(!decided[de]);
  decided[de] = true; sent[de] = ds;
  if :: !TASK(de) && de != dm -> sig[de] = true :: else -> skip fi
}
inline needsRetryTimer() {
  if
  :: retryAt && !hasRetryTimer -> hasRetryTimer = true; isOld = false
#ifndef MISTAKE_LATER_TIMER_STAYS
  :: retryAt && hasRetryTimer && isLater -> isOld = false; isLater = false
#endif
  :: else -> skip
  fi
}
inline pause(kindIsThread) {
  if
  :: !retryAt ->
     retryAt = true; hasPassed = false;
     if :: hasRetryTimer -> isLater = true :: true -> isLater = false fi
  :: else -> skip
  fi;
  if :: kindIsThread -> skip :: else -> needsRetryTimer() fi
}
/* Nobody waits for `retryAt` any more. A thread's limit that has not passed may be too late for the next pause: it does not
 * count. */
inline forgetRetry() {
  i_ = 0;
  do
  :: i_ < N ->
     if :: limited[i_] && hasPassed -> sig[i_] = true :: else -> skip fi;
     limited[i_] = false; i_++
  :: else -> break
  od;
  i_ = 0;
  retryAt = false; hasPassed = false; isLater = false; isOld = hasRetryTimer
}
inline endHeadPause() {
  isHeadPaused = false;
  if :: an == 0 -> forgetRetry() :: else -> skip fi
}
inline endPause() {
  forgetRetry(); isHeadPaused = false;
  do :: an > 0 -> an--; prepend(a[an]); a[an] = 0 :: else -> break od;
#ifndef MISTAKE_QUIET_END
  stirred = true
#endif
}
inline putAside(pe, pm) {
  removeInLine(pe);
  a[an] = pe; an++;
#ifndef MISTAKE_ASIDE_UNTOLD
  if :: !TASK(pe) && pe != pm -> sig[pe] = true :: else -> skip fi;   /* it looks again, and limits its wait */
#endif
  pause(!TASK(pe))
}
inline pass(pm) {
  if
  :: turn || qn == 0 -> skip
  :: else ->
     if
     :: !TASK(q[0]) -> if :: q[0] != pm && !polling[q[0]] -> sig[q[0]] = true :: else -> skip fi
     :: TASK(q[0]) && !stirred ->
#ifndef MISTAKE_NO_TIMER_FOR_NEXT
        if :: isHeadPaused -> needsRetryTimer() :: else -> skip fi
#else
        skip
#endif
     :: TASK(q[0]) && stirred -> called = true
     fi
  fi
}
inline releaseTurn(rm) {
  turn = false; got = false;
  if :: isHeadPaused && qn == 0 -> endHeadPause() :: else -> skip fi;
  pass(rm)
}
inline stop(sm) {
  stirred = true;
  if :: qn > 0 && polling[q[0]] -> sig[q[0]] = true :: else -> skip fi;
  releaseTurn(sm)
}
/* The head's attempt has moved nothing. */
inline headWaits(pausing, wm) {
#ifndef MISTAKE_HEAD_UNTOLD
  if :: pausing != isHeadPaused && !TASK(q[0]) && q[0] != wm -> sig[q[0]] = true :: else -> skip fi;
#endif
  if
  :: pausing -> isHeadPaused = true; pause(!TASK(q[0]))
  :: else -> endHeadPause()
  fi
}
/* The attempt that a late caller was promised is over. */
inline settleLate(lm) {
  if
  :: hasLate -> hasLate = false; if :: gaveUp[2] && !decided[2] -> removeInLine(2); decide(2, false, lm) :: else -> skip fi
  :: else -> skip
  fi
}
inline attempt() {
  atomic {
    if
    :: true -> outcome = accepted
    :: refusals < REFUSALS ->
       outcome = refused; refusals++; owed = false;
       if :: BLOCKS > 0 -> ready = false :: true -> ready = true fi
    :: blocks < BLOCKS -> outcome = blocked; blocks++; ready = false; owed = true
    fi
  }
}
inline decideEverybody(em) {
#ifndef MISTAKE_CLOSE_LEAVES_ASIDE
  do :: an > 0 -> an--; h = a[an]; a[an] = 0; decide(h, false, em) :: else -> break od;
#endif
  do :: qn > 0 -> qn--; h = q[qn]; q[qn] = 0; decide(h, false, em) :: else -> break od;
  h = 0
}

inline takeTurn(tm, tf) {
  atomic {
    if :: tm == NOBODY -> called = false :: else -> skip fi;
    if
    :: got -> skip
    :: !got && !turn && !closed && qn > 0 && (tf || q[0] == tm) -> turn = true; got = true
    :: else -> skip
    fi
  }
}
/* The step, again and again. A place is in use during its attempt: nobody else decides it. */
inline drive(vm, vf) {
  mine = false;
  takeTurn(vm, vf);
  do
  :: !got -> break
  :: got ->
     atomic {                                    /* SendHalf.next */
       if
       :: closed || qn == 0 -> stop(vm)
       :: qn > 0 && mine && !closed -> stop(vm)  /* enough done for others */
       :: else ->
          h = q[0];
          if
          :: gaveUp[h] && wasTried[h] -> removeInLine(h); decide(h, false, vm); h = NOBODY
          :: !(gaveUp[h] && wasTried[h]) && FLUSH(h) && an > 0 -> putAside(h, vm); h = NOBODY
          :: !(gaveUp[h] && wasTried[h]) && FLUSH(h) && an == 0 ->
             removeInLine(h); decide(h, true, vm); if :: h == vm -> mine = true :: else -> skip fi; h = NOBODY
          :: else -> stirred = false; wasTried[h] = true
          fi
       fi
     }
     if
     :: !got || h == NOBODY -> skip
     :: else ->
        attempt();
        atomic {                                 /* SendHalf.finish; nothing of it is left if it was closed meanwhile */
          if
          :: decided[h] -> if :: closed -> releaseTurn(vm) :: else -> skip fi
          :: !decided[h] && outcome == accepted ->
             removeInLine(h); decide(h, true, vm);
             if :: h == vm -> mine = true :: else -> skip fi;
             if :: qn == 0 -> stop(vm) :: else -> skip fi
#ifndef STREAM
          :: !decided[h] && outcome == refused && IS_HASTY(h) ->
             removeInLine(h); decide(h, false, vm); if :: h == vm -> mine = true :: else -> skip fi
          :: !decided[h] && outcome == refused && !IS_HASTY(h) -> putAside(h, vm)
          :: !decided[h] && outcome == blocked ->
#else
          :: !decided[h] && outcome != accepted ->
#endif
             if
             :: stirred || q[0] != h || gaveUp[h] -> skip
             :: else ->
                headWaits(outcome == refused, vm); settleLate(vm); releaseTurn(vm)
             fi
          fi;
          h = 0
        }
     fi;
     h = 0; outcome = 0
  od;
  mine = false
}
/* A caller with a zero timeout that meets nobody attempts without a place (`attemptAlone`). Others may come behind it. */
inline attemptAlone(am) {
  do
  :: !alone -> break
  :: alone ->
     atomic {
       if :: closed -> alone = false; decided[am] = true; stop(am) :: else -> stirred = false fi
     }
     if
     :: !alone -> skip
     :: else ->
        attempt();
        atomic {
          if
#ifndef STREAM
          :: outcome != blocked ->
#else
          :: outcome == accepted ->
#endif
             alone = false; decided[am] = true;
             if :: qn == 0 -> stop(am) :: else -> skip fi       /* otherwise it serves those behind it */
          :: else ->
             if
             :: stirred && !closed -> skip
             :: else ->
                alone = false; decided[am] = true;
                settleLate(am);
#ifndef MISTAKE_HASTY_LEAVES
                if :: outcome == refused -> stop(am) :: else -> releaseTurn(am) fi
#else
                releaseTurn(am)
#endif
             fi
          fi;
          outcome = 0
        }
     fi
  od
}
inline enter(em) {
  if
  :: closed -> decided[em] = true
  :: !closed && IS_HASTY(em) && !turn && qn == 0 && an == 0 -> turn = true; got = true; alone = true
  :: !closed && IS_HASTY(em) && !(!turn && qn == 0 && an == 0) ->
     if :: an > 0 -> endPause() :: else -> skip fi;
     q[qn] = em; qn++;
     if :: turn -> stirred = true :: else -> turn = true; got = true fi
  :: else ->
     if :: !turn && qn == 0 -> turn = true; got = true :: else -> skip fi;
     q[qn] = em; qn++
  fi
}
/* Nothing has gone out yet. In the code a place in use waits for its attempt's end; here its attempt finds it decided. */
inline giveUp(ge, gm) {
  if
  :: gaveUp[ge] -> skip
  :: !gaveUp[ge] && IS_HASTY(ge) && (turn || stirred) ->    /* an attempt is due, or may be under way: it decides */
     gaveUp[ge] = true; hasLate = true;
     if :: !turn && qn > 0 && polling[q[0]] -> sig[q[0]] = true :: else -> skip fi;
     pass(gm)
  :: else -> removeInLine(ge); removeAside(ge); decide(ge, false, gm); pass(gm)
  fi
}

proctype Thread(byte me) {
  byte h; bool got, mine, late, isIn, patient, alone; mtype outcome;
  atomic {
    enter(me);
    if
    :: IS_HASTY(me) -> late = true
    :: !IS_HASTY(me) -> patient = true
#ifndef NO_TIMEOUT
    :: !IS_HASTY(me) -> patient = false
#endif
    fi
  }
#ifdef HASTY
  attemptAlone(me);
#endif
  if :: got || !decided[me] -> drive(me, true) :: else -> skip fi;
  do
  :: decided[me] -> break
  :: else ->
     atomic {                                    /* Half.look */
       limited[me] = false;
       if :: late && !decided[me] -> giveUp(me, me) :: else -> skip fi;
       if
       :: decided[me] -> skip
       :: else ->
          if :: retryAt && hasPassed -> endPause(); pass(me) :: else -> skip fi;
          isAside(me);
          limited[me] = isIn;
          if
          :: qn > 0 && q[0] == me && !turn ->
             if
             :: stirred || FLUSH(me) || gaveUp[me] -> turn = true; got = true
             :: else -> limited[me] = isHeadPaused; polling[me] = true
             fi
          :: else -> skip
          fi;
          isIn = false
       fi
     }
     if
     :: got -> drive(me, false)
     :: !got && decided[me] -> skip
     :: !got && !decided[me] ->
        if                                       /* the wait */
        :: sig[me] -> sig[me] = false
        :: polling[me] && !limited[me] && ready -> skip    /* a paused head polls for nothing */
        :: limited[me] && hasPassed -> skip
        :: !late && !patient -> late = true
        fi;
        atomic { polling[me] = false; limited[me] = false };
        takeTurn(me, false);                     /* Half.endWait */
        if :: got -> drive(me, false) :: else -> skip fi
     fi
  od;
  atomic { sig[me] = false; limited[me] = false; ndone++ }
}

proctype Task_(byte me) {
  byte h; bool got, mine, alone; mtype outcome;
  atomic { enter(me) }
  drive(me, true);
  decided[me];
  ndone++
}

proctype Reactor() {
  byte h; bool got, mine; mtype outcome;
  do
  :: called && !halt -> drive(NOBODY, true)
  :: atomic { hasRetryTimer && (!retryAt || isOld && !isLater || hasPassed && !isLater) && !halt ->  /* retryTimerFired */
       hasRetryTimer = false; isOld = false;
       if
       :: closed || !retryAt -> skip
       :: !closed && retryAt && hasPassed -> endPause(); pass(NOBODY)
       :: !closed && retryAt && !hasPassed ->
#ifndef MISTAKE_OLD_TIMER_STAYS
          needsRetryTimer();
#endif
          pass(NOBODY)
       fi
     }
  :: atomic { owed && !halt -> owed = false; ready = true; stirred = true; pass(NOBODY) }         /* readiness */
#ifndef NO_CANCEL
  :: atomic { !decided[0] && !turn && !halt && (qn > 0 || an > 0) -> giveUp(0, NOBODY) }   /* a cancellation */
#endif
  :: halt -> break
  od
}

proctype Clock() {
  do
  :: atomic { retryAt && !hasPassed -> hasPassed = true }
  :: halt -> break
  od
}

proctype Closer() {
  byte h;
  if
  :: true -> skip
#ifndef NO_CLOSE
  :: atomic { closed = true; decideEverybody(NOBODY) }
#endif
  fi
}

active proctype Final() {
  atomic {
    ndone == N && !turn && !called;
    assert(qn == 0 && an == 0);
    halt = true
  }
}

init {
  atomic {
    run Task_(0); run Thread(1);
#ifdef TASKS
    run Task_(2);
#else
    run Thread(2);
#endif
    run Reactor(); run Clock(); run Closer()
  }
}
