/* Pauses: attempts to send that no readiness tells about, and are repeated after a time. See docs/half.md, "Pauses",
 * HalfState.swift (`pause`, `pauseHead`, `putAside`, `needsRetryTimer`, `endPause`) and SendHalf.swift.
 *
 *   spin -a pauses.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan              (datagrams: places stand aside)
 *   spin -DSTREAM -a pauses.pml && ...                                           (a stream: the head waits)
 *
 * It stands for a sending half of which the reactor always hears (`isRegistered`), with a task (0), a blocked thread (1) and
 * a third caller: a thread whose step is a flush, or with -DTASKS a task. A datagram or message is one step.
 * The transport refuses an attempt with `retryLater` as often as it likes, REFUSALS times in all, and never with
 * `wouldBlock`: so no readiness ever comes. Time is one event: `hasPassed` becomes true some time after `retryAt` was set.
 *
 * It leaves out: bytes, orphans and memory (half.pml), addresses (each datagram has one of its own; the flush stands
 * for all that waits behind places aside), callers with a zero timeout, and the time between unlocking and setting the timer.
 *
 * -DMISTAKE_NO_TIMER_FOR_NEXT  no timer is set when a thread at the head, which was to end the pause, is followed by a
 *                              task (with -DSTREAM)
 * -DMISTAKE_ASIDE_UNTOLD       a thread whose place another driver puts aside is not told, and waits without a limit
 * -DMISTAKE_CLOSE_LEAVES_ASIDE close decides only those who wait in line
 * -DMISTAKE_QUIET_END          `endPause` does not stir (with -DSTREAM)
 * -DMISTAKE_OLD_TIMER_STAYS    a timer of a pause that a thread has ended does not see to the next one
 */
#define N 3
#define NOBODY N
#ifndef REFUSALS
#define REFUSALS 2
#endif
#ifdef TASKS
#define TASK(e) ((e) != 1)
#define FLUSH(e) false
#else
#define TASK(e) ((e) == 0)
#ifdef STREAM
#define FLUSH(e) false
#else
#define FLUSH(e) ((e) == 2)
#endif
#endif

/* ---- guarded by the half's mutex ---- */
byte q[N], qn, a[N], an;             /* in line, and aside */
bool turn, stirred = true, called, closed;
bool retryAt, isHeadPaused, hasRetryTimer;
bool decided[N], sent[N];
/* ---- wake-ups, time, the world ---- */
bool sig[N], polling[N], limited[N]; /* limited: its thread waits no longer than `retryAt` of when it looked */
bool hasPassed;                      /* what `retryAt` says */
bool isOld[N + 1];                   /* of a thread's limit, and of the timer [N]: set for a pause that is over */
byte refusals; bool halt; byte ndone;

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
  if :: retryAt && !hasRetryTimer -> hasRetryTimer = true; isOld[N] = false :: else -> skip fi
}
inline pause(kindIsThread) {
  if :: !retryAt -> retryAt = true; hasPassed = false :: else -> skip fi;
  if :: kindIsThread -> skip :: else -> needsRetryTimer() fi
}
inline endPause() {
  retryAt = false; isHeadPaused = false; hasPassed = false;
  do :: an > 0 -> an--; prepend(a[an]); a[an] = 0 :: else -> break od;
  i_ = 0;
  do
  :: i_ < N -> if :: limited[i_] -> isOld[i_] = true :: else -> skip fi; i_++
  :: else -> break
  od;
  i_ = 0;
  if :: hasRetryTimer -> isOld[N] = true :: else -> skip fi;
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
inline releaseTurn(rm) { turn = false; got = false; pass(rm) }
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
       :: closed || qn == 0 -> stirred = true; releaseTurn(vm)
       :: qn > 0 && mine && !closed -> stirred = true; releaseTurn(vm)    /* enough done for others */
       :: else ->
          h = q[0];
          if
          :: FLUSH(h) && an > 0 -> putAside(h, vm); h = NOBODY
          :: FLUSH(h) && an == 0 ->
             removeInLine(h); decide(h, true, vm); if :: h == vm -> mine = true :: else -> skip fi; h = NOBODY
          :: else -> stirred = false
          fi
       fi
     }
     if
     :: !got || h == NOBODY -> skip
     :: else ->
        atomic {                                 /* the attempt */
          if
          :: true -> refused = false
          :: refusals < REFUSALS -> refused = true; refusals++
          fi
        }
        atomic {                                 /* SendHalf.finish; nothing of it is left if it was closed meanwhile */
          if
          :: decided[h] -> if :: closed -> releaseTurn(vm) :: else -> skip fi
          :: !decided[h] && !refused ->
             removeInLine(h); decide(h, true, vm);
             if :: h == vm -> mine = true :: else -> skip fi;
             if :: qn == 0 -> stirred = true; releaseTurn(vm) :: else -> skip fi
#ifndef STREAM
          :: !decided[h] && refused -> putAside(h, vm)
#else
          :: !decided[h] && refused ->           /* blocked */
             if
             :: stirred || q[0] != h -> skip
             :: else -> isHeadPaused = true; pause(!TASK(h)); releaseTurn(vm)
             fi
#endif
          fi;
          h = 0
        }
     fi;
     h = 0; refused = false
  od;
  mine = false
}
inline enter(em) {
  if
  :: closed -> decided[em] = true
  :: else ->
     if :: !turn && qn == 0 -> turn = true; got = true :: else -> skip fi;
     q[qn] = em; qn++
  fi
}
/* Nothing has gone out yet. In the code a place in use waits for its attempt's end; here its attempt finds it decided. */
inline giveUp(ge, gm) {
  removeInLine(ge); removeAside(ge); decide(ge, false, gm); pass(gm)
}

proctype Thread(byte me) {
  byte h; bool got, mine, refused, late, isIn, patient;
  atomic {
    enter(me);
    if :: patient = true
#ifndef NO_TIMEOUT
       :: patient = false
#endif
    fi
  }
  drive(me, true);
  do
  :: decided[me] -> break
  :: else ->
     atomic {                                    /* Half.look */
       limited[me] = false; isOld[me] = false;
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
             :: stirred || FLUSH(me) -> turn = true; got = true
             :: else -> limited[me] = isHeadPaused; polling[me] = !isHeadPaused
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
        :: polling[me] -> skip                   /* a descriptor that is ready all the time */
        :: limited[me] && (hasPassed || isOld[me]) -> skip
        :: !late && !patient -> late = true
        fi;
        atomic { polling[me] = false; limited[me] = false; isOld[me] = false };
        takeTurn(me, false);                     /* Half.endWait */
        if :: got -> drive(me, false) :: else -> skip fi
     fi
  od;
  atomic { sig[me] = false; limited[me] = false; isOld[me] = false; ndone++ }
}

proctype Task_(byte me) {
  byte h; bool got, mine, refused;
  atomic { enter(me) }
  drive(me, true);
  decided[me];
  ndone++
}

proctype Reactor() {
  byte h; bool got, mine, refused;
  do
  :: called && !halt -> drive(NOBODY, true)
  :: atomic { hasRetryTimer && (isOld[N] || retryAt && hasPassed) && !halt ->   /* retryTimerFired */
       hasRetryTimer = false;
       if
       :: closed || !retryAt -> skip
       :: !closed && retryAt && hasPassed -> endPause(); pass(NOBODY)
       :: !closed && retryAt && !hasPassed ->
#ifndef MISTAKE_OLD_TIMER_STAYS
          needsRetryTimer();
#endif
          pass(NOBODY)
       fi;
       isOld[N] = false
     }
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
