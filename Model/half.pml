/* One half of an endpoint: see docs/half.md for the words, this file for the proof.
 *
 *   spin -DCOARSE -a half.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m100000   (receive)
 *   spin -DSEND -a half.pml && ...                                                           (send)
 *
 * -DMISTAKE_xxx seeds a mistake and must report an error. -DNO_CLOSE, -DNO_TIMEOUT, -DNO_CANCEL leave an
 * actor out, -DEARLY_END lets the peer end or break at any time, -DTASKS_FROM=2 changes the mix of callers. With
 * -DPATIENT_THREADS only tasks have deadlines.
 *
 * One `atomic` block = one critical section of the half's mutex, or one system call. Everything between
 * two blocks is outside the lock and interleaves freely. Frames are two bytes long, so that a frame can
 * be begun and not finished.
 *
 * It leaves out what turnstile.pml, crossing.pml and pauses.pml have, and: callers with a zero timeout, flushes and
 * half-closes, requests of several kinds, several places in use, offload, items, and the time between unlocking and
 * waking. To receive it has also: a task that parks without an attempt in vain (`isDrained`, `hasMoreThanData`,
 * `owesAttempt`), and watching that ends over an idle half (`Half.stir`).
 *
 * Caller 0: a task of the main actor.  Caller 1: the main thread, in a blocking call: while it is in
 * the call, caller 0 cannot run.  Caller 2: a thread of its own.  Caller 3 (N = 4): a task of a pool.
 */
#ifndef N
#define N 3
#endif
#ifndef CALLS
#define CALLS 1                      /* calls made by each caller, one after the other */
#endif
#define TOTAL (N * CALLS)
#define NOBODY N                     /* as `me`: the reactor; as an entry: the orphan (owed tail) */
#ifndef TASKS_FROM
#define TASKS_FROM 3                 /* 2: caller 2 is a task of a pool instead of a thread */
#endif
#define TASK(e)    ((e) == 0 || (e) >= TASKS_FROM)    /* the orphan counts as a task: the reactor watches it */
#define ON_MAIN(e) ((e) < 2)
#define BORROWS(e) ((e) == 2)        /* caller 2 uses withMessage, the others copy */

mtype = { none, done, timedOut, cancelled, closedError, ended, committed };
mtype = { unknown, probablyNone, nothing };       /* ReceiveTurn.Rest: what the last attempt says of what is left */

/* ---- guarded by the half's mutex ---- */
byte q[N + 1]; byte qn;              /* places, first in first out */
bool turn;                           /* somebody drives: buffer, scanner, transport are its own */
bool stirred = true;                 /* an attempt may get on; lowered before each attempt */
bool called;                         /* the reactor has been asked to drive */
bool isRegistered;                   /* the reactor watches for this half; the kernel's own flag is `watched` */
bool closed, over;                   /* over: no more results to come, every caller gets `ended` */
byte pollers;                        /* threads in ppoll on the descriptor */
bool out;                            /* the descriptor has been given up */
mtype res[N + 1];                    /* per place: the decision, `none` while undecided */
bool polling[N];
/* ---- wake-ups: sticky, may be spurious ---- */
bool sig[N];
/* ---- kernel ---- */
bool fdClosed, watched, edge;        /* edge: an event not yet fetched by epoll_wait (edge-triggered) */
byte attempting;
/* ---- the world ---- */
bool mainBusy, halt; byte ndone; bool installed[N];
byte inside;                         /* callers between enter and their return */
bool timed[N];                       /* a task's deadline, which has not passed */
#ifdef TICKETS
byte ticket, tick[N], lastTick;      /* asserts what the queue gives by construction: costs states */
#endif

#ifndef SEND
byte avail, produced; bool eof;      /* bytes in the kernel */
byte buf; bool endSeen, lent;        /* owned by the turn: unread bytes, end of stream read */
byte nextFrame, frames;              /* taken from the stream; returned to a caller */
mtype rest = unknown;                /* owned by the turn */
bool hasMoreThanData;                /* the end has been signalled; never goes back */
bool owesAttempt[N];                 /* the attempt was left out, and is made before the deadline ends the call */
bool vain[N];                        /* asserts that: no attempt has been made since the one that was left out */
#ifdef MISTAKE_LEAVE_OUT_AT_END
#define SEEN_ALL true
#else
#define SEEN_ALL (!hasMoreThanData)
#endif
#define DATA_IS_ALL (rest == nothing || rest == probablyNone && SEEN_ALL)
#define IS_DRAINED (!stirred && isRegistered && DATA_IS_ALL)
#define READY (avail > 0 || eof)
bool marked[N];                      /* gave up as a late caller: it leaves when a pass has come to its end */
#define GAVEUP(e) marked[e]
#define TRIES_AGAIN stirred
#else
#ifndef ROOM
#define ROOM 1
#endif
byte room = ROOM; bool nospace, broken;  /* nospace: EAGAIN was said, so the next space makes an edge */
mtype gaveUp[N + 1]; bool inUse[N + 1]; bool memory[N + 1]; byte sent[N + 1];
byte wireOpen = 255;                 /* message begun on the wire and not finished */
byte orphanOf; byte fullyGone, sentOK, tails;
#define READY (room > 0 || broken)
#define GAVEUP(e) (gaveUp[e] != none)
#define TRIES_AGAIN (stirred || GAVEUP(q[0]))
#endif

/* Whose receive was the last can detach at once: the turn went with the decision. (The reactor may have it still after
 * others have given up.) */
#if defined(NO_TIMEOUT) && defined(NO_CANCEL)
#define LEAVES(e) inside--; assert(res[e] != done || closed || !turn || inside > 0)
#else
#define LEAVES(e) inside--
#endif

hidden byte i_, last_;
inline removeEntry(re) {
  i_ = 0;
  do :: i_ < qn && q[i_] != re -> i_++ :: else -> break od;
  assert(i_ < qn);
  qn--;
  do :: i_ < qn -> q[i_] = q[i_ + 1]; i_++ :: else -> q[i_] = 0; break od;
  i_ = 0
}
/* A decision is made once, under the lock; the entry leaves the queue with it. */
inline decide(de, dr, dm) {
  assert(res[de] == none);
  res[de] = dr;
  if :: de < N && !TASK(de) && de != dm -> sig[de] = true :: else -> skip fi
}
/* Under the lock, whenever the turn is free and the head may have changed. */
inline pass(pm) {
  if
  :: turn || qn == 0 -> skip
  :: else ->
     if
     :: !TASK(q[0]) ->
        if :: q[0] != pm && !polling[q[0]] -> sig[q[0]] = true :: else -> skip fi
     :: else ->
        if :: isRegistered && !stirred && !GAVEUP(q[0]) -> skip :: else -> called = true fi
     fi
  fi
}
/* The last user of the number gives it up. */
inline leaveDescriptor() {
  if
  :: closed && !turn && pollers == 0 && !out -> out = true;
     assert(!fdClosed && attempting == 0); fdClosed = true; edge = false
  :: else -> skip
  fi
}
/* Past the lock, if nothing has happened meanwhile: Turnstile.giveBack. */
inline giveBack() { assert(turn && qn == 0 && !closed); turn = false; got = false }
inline releaseTurn(rm) { turn = false; leaveDescriptor(); pass(rm); got = false }

inline enter(em) {
  assert(res[em] == none); inside++;
#ifdef TICKETS
  tick[em] = ticket; ticket++;
#endif
#ifdef SEND
  gaveUp[em] = none; sent[em] = 0; memory[em] = true;
#endif
  if
  :: closed -> res[em] = closedError
  :: !closed && over -> res[em] = ended
  :: else ->
     /* alone: past the lock, with the place implied in front; else behind, and the turn is a step of its own */
     if :: !turn && qn == 0 -> turn = true; got = true; assert(attempting == 0) :: else -> skip fi;
     q[qn] = em; qn++
  fi
}
inline servedInOrder(se) {
  assert(qn > 0 && q[0] == se);
#ifdef TICKETS
  if :: se < N -> assert(tick[se] >= lastTick); lastTick = tick[se] :: else -> skip fi
#endif
}
inline takeTurn(tm, tf) {
  atomic {
    if :: tm == NOBODY -> called = false :: else -> skip fi;
    if
    :: got -> skip                                  /* since it entered */
    :: !got && !turn && !closed && !over && qn > 0 && (tf || q[0] == tm) ->
       turn = true; got = true; assert(attempting == 0)
    :: else -> skip
    fi
  }
}
/* An attempt has moved nothing: the pass that late callers were promised has come to its end. */
inline settleLate() {
#ifndef SEND
  i_ = qn;
  do
  :: i_ > 0 ->
     h = q[i_ - 1];
     if
     :: marked[h] -> assert(!vain[h]); marked[h] = false; i_--; last_ = i_; removeEntry(h); decide(h, timedOut, NOBODY); i_ = last_
     :: else -> i_--
     fi
  :: else -> break
  od;
  i_ = 0; h = 0; last_ = 0
#else
  skip
#endif
}
/* Blocked: watch, or try again if something stirred since the flag was lowered. */
inline blocked(bm) {
  again = false;
  do
  :: atomic {
       if
       :: closed || qn == 0 -> releaseTurn(bm); break
#ifndef MISTAKE_IGNORE_STIR
       :: !closed && qn > 0 && TRIES_AGAIN -> again = true; break
       :: !closed && qn > 0 && !TRIES_AGAIN ->
#else
       :: !closed && qn > 0 -> stirred = false;
#endif
          if
          :: TASK(q[0]) && !isRegistered ->
#ifdef MISTAKE_REGISTER_OUTSIDE_TURN
             releaseTurn(bm)
#else
             skip
#endif
          :: else -> settleLate(); releaseTurn(bm); break
          fi
       fi
     }
     atomic {                                    /* EPOLL_CTL_ADD or MOD: tells at once if ready */
       assert(!fdClosed); watched = true;
       if :: READY -> edge = true :: else -> skip fi
     }
     isRegistered = true;                        /* edges stir from before this on */
#ifdef MISTAKE_REGISTER_OUTSIDE_TURN
     break
#endif
  od
}

#ifndef SEND
/* ------------------------------------------------------------------ receive: the step */
#ifdef MISTAKE_TURN_AFTER_LAST
#define SERVES_ON (qn > 0 || h != vm)
#else
#define SERVES_ON (qn > 0)
#endif
inline noteAttempt() {
  i_ = 0;
  do :: i_ < N -> vain[i_] = false; i_++ :: else -> i_ = 0; break od
}
/* A task that entered alone, with nothing in the buffer: it parks without the attempt that is known to be in vain. */
inline fillFront(fm) {
  if
  :: got && buf == 0 && !endSeen ->
     atomic {
       if
#ifdef MISTAKE_LEAVE_OUT_UNREGISTERED
       /* "Drained" is taken to say that the reactor watches: then nothing is left to do but to park. */
       :: !closed && !stirred && DATA_IS_ALL -> leftOut = true; turn = false; got = false
#else
       :: !closed && IS_DRAINED -> leftOut = true; vain[fm] = timed[fm];
#ifndef MISTAKE_NO_OWED_ATTEMPT
          owesAttempt[fm] = timed[fm]
#endif
#endif
       :: else -> skip
       fi
     }
#ifndef MISTAKE_LEAVE_OUT_UNREGISTERED
     if
     :: leftOut -> blocked(fm); if :: again -> owesAttempt[fm] = false; leftOut = false :: else -> skip fi; again = false
     :: else -> skip
     fi
#endif
  :: else -> skip
  fi
}
inline drive(vm, vf) {
  mine = false;
  takeTurn(vm, vf);
  do
  :: !got -> break
#ifdef MISTAKE_STALE_HEAD
  :: got && buf >= 2 ->
     atomic { if :: qn > 0 -> h = q[0] :: else -> h = 255 fi }
     atomic {
#else
  :: atomic { got && buf >= 2 ->                 /* the scanner, outside the lock: complete */
#endif
       if
       :: closed || qn == 0 -> stirred = true; releaseTurn(vm)   /* the frame stays */
       :: else ->
#ifdef MISTAKE_STALE_HEAD
          if :: h == 255 -> h = q[0] :: else -> skip fi;
          if :: res[h] == none -> servedInOrder(h); removeEntry(h); decide(h, done, vm)
             :: else -> skip fi;
#else
          h = q[0];                              /* the head of now, not of before the attempt */
          servedInOrder(h); removeEntry(h); decide(h, done, vm);
#endif
          nextFrame++;
          if :: h == vm -> mine = true :: else -> skip fi;
          if
          :: h == vm && BORROWS(vm) -> lent = true
          :: else ->
             buf = buf - 2;
             if
             :: qn == 0 && h == vm -> giveBack() /* `stirred` stays as it is: nobody waits whom it would concern */
#ifndef MISTAKE_TURN_AFTER_LAST
             :: qn == 0 && h != vm ->            /* servedLast: the turn goes with the decision */
                if :: buf == 0 && IS_DRAINED -> skip :: else -> stirred = true fi;
                releaseTurn(vm)
#endif
             :: SERVES_ON -> skip                /* serve the next one, too */
             :: qn > 0 && (mine || vm == NOBODY) ->  /* or stop: enough done for others */
#ifndef MISTAKE_STOP_QUIETLY
                stirred = true;
#endif
                releaseTurn(vm)
             fi
          fi
       fi;
       h = 0
     }
     if
     :: lent && got && mine ->                   /* the closure runs here, on buffer memory */
        atomic {
          assert(lent && turn); lent = false; buf = buf - 2;
          if
          :: qn == 0 && !closed -> giveBack()
          :: qn == 0 || closed -> stirred = true; releaseTurn(vm)
          :: qn > 0 && !closed -> skip           /* endLoan goes on for others */
          fi
        }
     :: else -> skip
     fi
  :: atomic { got && buf < 2 && endSeen ->
       if
       :: closed -> skip
       :: else ->
          over = true;
          do :: qn > 0 -> h = q[0]; servedInOrder(h); removeEntry(h); decide(h, ended, vm)
             :: else -> break od
       fi;
       h = 0; releaseTurn(vm)
     }
  :: atomic { got && buf < 2 && !endSeen ->
       if
       :: closed || qn == 0 || mine -> stirred = true; releaseTurn(vm)
       :: else -> stirred = false; noteAttempt(); attempting++; assert(attempting == 1 && !lent)
       fi
     }
     if
     :: !got -> skip
     :: else ->
        atomic {                                 /* recv(2), MSG_DONTWAIT */
          assert(!fdClosed); moved = true;
          if
          :: avail > 0 -> avail--; buf++; rest = unknown                      /* it filled its room */
          :: avail > 0 -> buf = buf + avail; avail = 0; rest = probablyNone    /* a short read */
          :: avail == 0 && eof -> endSeen = true; rest = unknown
          :: avail == 0 && !eof -> moved = false; rest = nothing
          fi;
          attempting--
        }
        if :: moved -> skip :: else -> blocked(vm) fi
     fi
  od;
  got = false; mine = false; moved = false; again = false
}
inline giveUp(ge, gr, gm) {                        /* under the lock; no attempt uses a receiver's memory */
  removeEntry(ge); decide(ge, gr, gm);
#ifndef MISTAKE_NO_PASS
  pass(gm)
#endif
}
inline finish(fm) {
  atomic {
    assert(res[fm] == done || res[fm] == timedOut || res[fm] == cancelled || res[fm] == closedError
           || res[fm] == ended);
    if :: res[fm] == done -> frames++ :: else -> skip fi;
    LEAVES(fm);
    if :: fm < N -> owesAttempt[fm] = false; vain[fm] = false; marked[fm] = false :: else -> skip fi;
    res[fm] = none; if :: fm < N && !TASK(fm) -> sig[fm] = false :: else -> skip fi
  }
}
active proctype Peer() {
  bool ends;
#ifdef EARLY_END
  if :: ends = true :: skip fi;
#endif
  do
  :: atomic { produced < 2 * TOTAL && !fdClosed && !halt ->
#ifdef COARSE                        /* the first frame comes in two pieces, the others whole */
       if :: produced < 2 -> produced++; avail++ :: else -> produced = produced + 2; avail = avail + 2 fi;
#else
       produced++; avail++;
#endif
       if :: watched -> edge = true :: else -> skip fi }
#ifdef EARLY_END
  :: atomic { ends && !fdClosed && !halt -> eof = true; if :: watched -> edge = true :: else -> skip fi; break }
#endif
  :: produced == 2 * TOTAL || fdClosed || halt -> break
  od
}
#else
/* ------------------------------------------------------------------ send: the step */
/* A head that gave up is settled inside a turn: it leaves, or its remainder stays as the orphan. */
inline settle(sm) {
  h = q[0];
  if
  :: sent[h] == 0 -> removeEntry(h); decide(h, gaveUp[h], sm)
#ifdef MISTAKE_DROP_TAIL
  :: sent[h] > 0 -> removeEntry(h); decide(h, committed, sm)
#else
  :: sent[h] > 0 ->                              /* its bytes were copied or retained in this turn */
     assert(sent[NOBODY] == 0 && tails < 200); tails++;
     q[0] = NOBODY; sent[NOBODY] = sent[h]; orphanOf = h; decide(h, committed, sm)
#endif
  fi
}
#define MESSAGE(e) ((e) == NOBODY -> orphanOf : (e))
inline drive(vm, vf) {
  mine = false;
  takeTurn(vm, vf);
  do
  :: !got -> break
  :: atomic { got ->
       if
       :: closed || qn == 0 || mine && !more -> stirred = true; releaseTurn(vm)
       :: else ->
          h = q[0];
          if
          :: GAVEUP(h) -> settle(vm); h = 255    /* no attempt for it */
          :: else -> inUse[h] = true; stirred = false; attempting++; assert(attempting == 1)
          fi
       fi
     }
     if
     :: !got || h == 255 -> skip
     :: else ->
        atomic {                                 /* send(2), MSG_DONTWAIT, MSG_NOSIGNAL */
          assert(!fdClosed); assert(h == NOBODY || memory[h]);
          n = 0; moved = true;
          if
          :: broken -> n = 255
          :: !broken && room > 0 -> n = 1
          :: !broken && room > 1 && sent[h] == 0 -> n = 2
          :: !broken && room == 0 -> moved = false; nospace = true
          fi;
          if
          :: moved && n < 255 ->
             assert(sent[h] == 0 && wireOpen == 255 || sent[h] == 1 && wireOpen == MESSAGE(h));
             room = room - n;
             if :: sent[h] + n == 2 -> wireOpen = 255; fullyGone++ :: else -> wireOpen = MESSAGE(h) fi
          :: else -> skip
          fi;
          attempting--
        }
        atomic {
          inUse[h] = false; more = false;
          if
          :: !moved -> skip
          :: moved && n == 255 ->                /* the transport failed: sending is over */
             over = true;
             do
             :: qn > 0 -> h = q[0]; removeEntry(h);
                if :: h < N -> decide(h, (closed -> closedError : ended), vm) :: else -> sent[h] = 0 fi
             :: else -> break
             od;
             releaseTurn(vm)
          :: moved && n < 255 ->
             sent[h] = sent[h] + n;
             if
             :: sent[h] == 2 ->
                servedInOrder(h); removeEntry(h);
                if :: h < N -> decide(h, done, vm) :: else -> sent[h] = 0 fi;
                if :: h == vm -> mine = true :: else -> skip fi;
                if
                :: qn == 0 && !closed ->         /* the turn goes with the last decision */
                   if :: h == vm -> giveBack() :: else -> stirred = true; releaseTurn(vm) fi
                :: qn > 0 || closed -> more = true
                :: qn > 0 && (mine || vm == NOBODY) ->
#ifndef MISTAKE_STOP_QUIETLY
                   stirred = true;
#endif
                   releaseTurn(vm)
                fi
             :: sent[h] < 2 && closed -> skip
             :: else -> more = mine
             fi
          fi;
          if                                     /* closed meanwhile: whoever was in use leaves now */
          :: closed ->
             do
             :: qn > 0 -> h = q[0]; removeEntry(h);
                if :: h < N -> decide(h, closedError, vm) :: else -> sent[h] = 0 fi
             :: else -> break
             od;
             if :: got -> releaseTurn(vm) :: else -> skip fi
          :: else -> skip
          fi;
          h = 0
        }
        if :: got && !moved -> more = mine; blocked(vm) :: else -> skip fi
     fi;
     h = 0; n = 0
  od;
  got = false; mine = false; moved = false; again = false; more = false
}
inline giveUp(ge, gr, gm) {                        /* under the lock */
  if
#ifdef MISTAKE_LEAVE_IN_USE
  :: sent[ge] == 0 -> removeEntry(ge); decide(ge, gr, gm); pass(gm)
  :: else -> gaveUp[ge] = gr; pass(gm)
#else
  :: !inUse[ge] && sent[ge] == 0 -> removeEntry(ge); decide(ge, gr, gm);
#ifndef MISTAKE_NO_PASS
     pass(gm)
#endif
  :: else -> gaveUp[ge] = gr; pass(gm)             /* the turn decides: now running, or called */
#endif
  fi
}
inline finish(fm) {
  atomic {
    assert(res[fm] == done || res[fm] == timedOut || res[fm] == cancelled || res[fm] == closedError
           || res[fm] == ended || res[fm] == committed);
    assert(!inUse[fm]);
    assert(res[fm] != done || sent[fm] == 2);
    assert(!(res[fm] == timedOut || res[fm] == cancelled) || sent[fm] == 0);
    if :: res[fm] == done -> sentOK++ :: else -> skip fi;
    LEAVES(fm);
    memory[fm] = false; sent[fm] = 0; gaveUp[fm] = none;
    res[fm] = none; if :: !TASK(fm) -> sig[fm] = false :: else -> skip fi
  }
}
active proctype Peer() {
  bool breaks;
#ifdef EARLY_END
  if :: breaks = true :: skip fi;
#endif
  do
  :: atomic { room < ROOM && !halt ->
       room++;
       if :: nospace -> nospace = false; if :: watched && !fdClosed -> edge = true :: else -> skip fi
          :: else -> skip fi }
#ifdef EARLY_END
  :: atomic { breaks && !halt && !broken -> broken = true; if :: watched && !fdClosed -> edge = true :: else -> skip fi }
#endif
  :: halt -> break
  od
}
#endif

/* ------------------------------------------------------------------ who runs */
proctype Thread(byte me) {
  byte h, n, calls; bool got, mine, moved, again, more, first, late, fin, patient;
  if :: ON_MAIN(me) -> atomic { !mainBusy -> mainBusy = true } :: else -> skip fi;
  do
  :: calls == CALLS -> break
  :: else ->
     atomic {
       first = true; late = false; fin = false; calls++; enter(me);
       if :: patient = true                      /* no deadline; chosen now, so that a lost wake is seen */
#if !defined(NO_TIMEOUT) && !defined(PATIENT_THREADS)
          :: patient = false
#endif
       fi
     }
     do
     :: drive(me, first); first = false;
        atomic {                                 /* park: on the descriptor only as head, turn free */
          if
          :: res[me] != none -> fin = true
          :: else ->
             if
             :: q[0] == me && !turn && !GAVEUP(me) -> polling[me] = true;
#ifndef MISTAKE_UNCOUNTED_POLLER
                pollers++
#endif
             :: else -> skip
             fi
          fi
        }
        if :: fin -> break :: else -> skip fi;
#ifdef MISTAKE_CLEAR_BEFORE_PARKING
        sig[me] = false;
#endif
        if
        :: sig[me] -> sig[me] = false            /* ppoll, then read the wake-up, then lock and look */
        :: polling[me] && (READY || fdClosed) -> assert(!fdClosed)
        :: !late && !patient -> late = true
        fi;
        atomic {
          if
          :: polling[me] -> polling[me] = false;
#ifndef MISTAKE_UNCOUNTED_POLLER
             pollers--;
#endif
             leaveDescriptor()
          :: else -> skip
          fi;
          if
          :: late && res[me] == none && !GAVEUP(me) -> giveUp(me, timedOut, me)
          :: else -> skip
          fi
        }
     od;
     finish(me)
  od;
  atomic { if :: ON_MAIN(me) -> mainBusy = false :: else -> skip fi; ndone++ }
}

proctype Task_(byte me) {
  byte h, n, calls; bool got, mine, moved, again, more, leftOut;
  if :: ON_MAIN(me) -> atomic { !mainBusy -> mainBusy = true } :: else -> skip fi;
  do
  :: calls == CALLS -> break
  :: else ->
     atomic {
       calls++;
       if :: timed[me] = false
#ifndef NO_TIMEOUT
          :: timed[me] = true
#endif
       fi;
       enter(me)
     }
#ifndef SEND
     fillFront(me);
#endif
     if
     :: leftOut -> leftOut = false
     :: else -> drive(me, true)                  /* a task drives only before it parks */
     fi;
     atomic { installed[me] = true; if :: ON_MAIN(me) && res[me] == none -> mainBusy = false; more = true :: else -> skip fi }
     res[me] != none;                            /* continuation resumed … and an executor thread is free */
     if
     :: more -> atomic { !mainBusy -> mainBusy = true; more = false }
     :: else -> skip
     fi;
     atomic { installed[me] = false; timed[me] = false };
     finish(me)
  od;
  atomic { if :: ON_MAIN(me) -> mainBusy = false :: else -> skip fi; ndone++ }
}

/* Half.deadlinePassed(of:), of a task's place and on the reactor's thread. Whom the reactor was called for, or who is owed
 * an attempt, is driven for first. */
inline deadlinePassed(pt) {
  timed[pt] = false;
#ifndef SEND
  if
  :: res[pt] == none && owesAttempt[pt] -> owesAttempt[pt] = false; stirred = true; called = true;
#ifndef MISTAKE_OWED_DRIVE_REFUSED
     marked[pt] = true                           /* as a late caller: somebody else may have the turn */
#endif
  :: else -> skip
  fi;
#endif
  if
  :: res[pt] == none && called -> due = pt
  :: res[pt] == none && !called && !GAVEUP(pt) -> assertTried(pt); giveUp(pt, timedOut, NOBODY)
  :: else -> skip
  fi
}
inline assertTried(at) {
#ifndef SEND
  assert(!vain[at])
#else
  skip
#endif
}
proctype Reactor() {
  byte h, n, due = NOBODY; bool got, mine, moved, again, more;
  do
  :: due == NOBODY && edge && !halt ->
     atomic {                                    /* epoll_wait: it says what is so now */
       edge = false;
#ifndef SEND
       moved = eof
#endif
     }
#ifndef SEND
     if :: moved -> hasMoreThanData = true :: else -> skip fi;  /* noteMoreThanData */
     moved = false;
#endif
     atomic {                                    /* Half.stir; then, later, the half's lock */
       if
       :: closed -> skip
       :: else ->
          stirred = true; pass(NOBODY);
          if
          :: !turn && qn == 0 && isRegistered ->  /* nobody waits for it: the watching ends */
             isRegistered = false;
#ifdef MISTAKE_TURN_TO_UNWATCH
             turn = true; got = true
#else
             assert(!fdClosed); watched = false; edge = false
#endif
          :: else -> skip
          fi
       fi
     }
#ifdef MISTAKE_TURN_TO_UNWATCH
     if
     :: got ->
        atomic { assert(!fdClosed); watched = false; edge = false }
        atomic { if :: qn == 0 && !closed -> giveBack() :: else -> stirred = true; releaseTurn(NOBODY) fi }
     :: else -> skip
     fi
#endif
#ifndef NO_TIMEOUT
  :: atomic { due == NOBODY && !halt && timed[0] && installed[0] -> deadlinePassed(0) }
#if TASKS_FROM == 2
  :: atomic { due == NOBODY && !halt && timed[2] && installed[2] -> deadlinePassed(2) }
#endif
#endif
  :: (called || due != NOBODY) && !halt ->
#ifdef MISTAKE_HEAD_DRIVES_ITSELF
     /* resume the head's task and let it take the step: needs the task's executor */
     if :: qn > 0 && ON_MAIN(q[0]) -> !mainBusy || halt :: else -> skip fi;
#endif
     drive(NOBODY, true);
     atomic {
       if
       :: due != NOBODY && installed[due] && res[due] == none && !GAVEUP(due) -> assertTried(due); giveUp(due, timedOut, NOBODY)
       :: else -> skip
       fi;
       due = NOBODY
     }
  :: halt -> break
  od
}

proctype Canceller(byte t) {                     /* a cancellation handler */
  byte uses;
  if
  :: uses = 1
#ifndef NO_CANCEL
  :: uses = 0
#endif
  fi;
  do
  :: atomic { uses < 1 && installed[t] && res[t] == none && !GAVEUP(t) -> giveUp(t, cancelled, NOBODY); uses++ }
  :: halt -> break
  od
}

active proctype Closer() {
  byte h;
  if
  :: true -> skip
#ifndef NO_CLOSE
  :: atomic {
       closed = true;
#ifdef MISTAKE_RELEASE_IN_CLOSE
       out = true; fdClosed = true; edge = false;
#endif
#ifndef SEND
       do :: qn > 0 -> h = q[0]; removeEntry(h); decide(h, closedError, NOBODY) :: else -> break od;
#else
       i_ = 0;
       if
       :: qn > 0 && inUse[q[0]] ->               /* the head is being written: its attempt decides */
          do :: qn > 1 -> h = q[1]; removeEntry(h); decide(h, closedError, NOBODY) :: else -> break od
       :: else ->
          do :: qn > 0 -> h = q[0]; removeEntry(h);
                if :: h < N -> decide(h, closedError, NOBODY) :: else -> sent[h] = 0 fi
             :: else -> break od
       fi;
#endif
       h = 0;
       leaveDescriptor()
     }
#endif
  fi
}

active proctype Final() {
#ifdef SEND
  atomic {
    ndone == N && (turn == false) && (qn == 0) && !called;
    assert(sentOK <= fullyGone && fullyGone <= sentOK + tails + N * CALLS * closed);
    assert(closed || over || wireOpen == 255);   /* every begun frame was finished */
    assert(closed == fdClosed && pollers == 0 && sent[NOBODY] == 0);
#else
  atomic {
    ndone == N && !turn && !called;
    assert(frames == nextFrame);                 /* no frame lost … */
    assert(2 * nextFrame + buf + avail == produced);
    assert(closed == fdClosed && pollers == 0 && qn == 0);
#endif
    halt = true
  }
}

init {
  atomic {
    i_ = 0;
    do :: i_ <= N -> res[i_] = none;
#ifdef SEND
       gaveUp[i_] = none;
#endif
       i_++ :: else -> i_ = 0; break od;
    run Task_(0); run Thread(1);
#if TASKS_FROM > 2
    run Thread(2);
#else
    run Task_(2);
#endif
#if N > 3
    run Task_(3); run Canceller(3);
#endif
    run Reactor(); run Canceller(0)
  }
}
