/* The short way to the turn, past the lock: Sources/SWMessaging/Halves/Turnstile.swift, docs/half.md section 4.
 *
 *   spin -a turnstile.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * Callers take the turn past the lock if they meet nobody, else under it, or wait. Somebody else enters
 * critical sections now and then, and closes. Each access to the turnstile is a step of its own, so that
 * what happens past the lock falls between any two steps of a critical section.
 *
 * A caller that has the turn may go away with it. It comes back only when nobody who is late waits for the turn, so
 * the search ends badly if one does: the callers whose time is over must leave at once.
 *
 * -DMISTAKE_READ_UNFOLDED   a section trusts `turn` without folding: two have the turn
 * -DMISTAKE_UNFOLD_WAITERS  a section unfolds although somebody waits: nobody looks after him (with -DNO_CLOSE,
 *                           for a close would free him)
 * -DMISTAKE_FOLD_AFTER_LOOK the state is looked at before the fold: two have the turn
 * -DMISTAKE_FOLD_FORGETS    a fold overlooks a turn that is away: two have the turn
 * -DMISTAKE_UNFOLD_FORGETS  an unfold leaves a turn that is away as one that is held: a late caller waits for it
 * -DMISTAKE_AWAY_UNMARKED   a caller goes away past the lock only: a late one behind it waits
 * -DMISTAKE_AWAY_UNSETTLED  the mark is set, but those who are late already stay (with -DNO_CLOSE, which frees them)
 * -DMISTAKE_MARK_KEPT       the mark stays when the turn is released
 * -DMISTAKE_BACK_UNMARKED   a caller comes back past the lock only: late ones leave though the turn is near
 */
#ifndef N
#define N 2
#endif
#ifndef CALLS
#define CALLS 2
#endif

mtype = { open, held, folded, away };
mtype position = open;
bool lock;                    /* the mutex */
bool turn, isAway, closed;    /* the state behind it */
byte waiting;                 /* how many wait in the queue */
bool queued[N];
bool late[N];                 /* whose time is over, though they wait */
byte holders;                 /* who believes to have the turn: never two */
bool isNear;                  /* the holder knows that it is not away */

inline take_lock()   { atomic { !lock -> lock = true } }
inline give_lock()   { lock = false }
inline copy_position() {
#ifdef MISTAKE_FOLD_FORGETS
  atomic { if :: position == held -> turn = true :: else fi; position = folded }
#else
  atomic {
    if
    :: position == held -> turn = true
    :: position == away -> turn = true; isAway = true
    :: else
    fi;
    position = folded
  }
#endif
}
inline fold() {
#ifdef MISTAKE_READ_UNFOLDED
  skip
#else
  copy_position();
  assert(!isAway || turn)
#endif
}
inline open_position() {
  wasTurn = turn; wasAway = isAway; turn = false; isAway = false;
#ifdef MISTAKE_UNFOLD_FORGETS
  position = (wasTurn -> held : open)
#else
  position = (wasAway -> away : (wasTurn -> held : open))
#endif
}
inline unfold() {
#ifdef MISTAKE_UNFOLD_WAITERS
  if :: !closed -> open_position() :: else fi
#else
  if :: waiting == 0 && !closed -> open_position() :: else fi
#endif
}
inline leave_queue(who) { queued[who] = false; late[who] = false; waiting-- }

/* The caller that has the turn goes away with it, and comes back when nobody who is late waits. */
inline go_away() {
  isNear = false;
  atomic { if :: position == held -> position = away; isMarked = true :: else -> isMarked = false fi }
#ifndef MISTAKE_AWAY_UNMARKED
  if
  :: isMarked
  :: !isMarked ->
     take_lock(); fold();
     isAway = true;
#ifndef MISTAKE_AWAY_UNSETTLED
     other = 0;
     do
     :: other == N -> break
     :: other < N -> if :: late[other] -> leave_queue(other) :: else fi; other++
     od;
#endif
     unfold(); give_lock()
  fi;
#endif
  other = 0;
  do :: other == N -> break :: other < N && !late[other] -> other++ od;
  if
  :: true                                      /* returns the turn as it is */
  :: true ->                                   /* or does something more with it */
     atomic { if :: position == away -> position = held; isMarked = true :: else -> isMarked = false fi }
#ifndef MISTAKE_BACK_UNMARKED
     if :: isMarked :: !isMarked -> take_lock(); fold(); isAway = false; unfold(); give_lock() fi;
#endif
     isNear = true
  fi
}

proctype Caller(byte me) {
  byte calls = CALLS, other;
  bool mine, wasTurn, wasAway, isMarked, idle;
  mtype present;
  do
  :: calls == 0 -> break
  :: calls > 0 ->
     calls--;
     mine = false;
     /* the short way */
     atomic { if :: position == open -> position = held; mine = true :: else fi }
     if
     :: mine
     :: !mine ->
        take_lock();
#ifdef MISTAKE_FOLD_AFTER_LOOK
        idle = !turn && waiting == 0;
        fold();
#else
        fold();
        idle = !turn && waiting == 0;
#endif
        if
        :: closed
        :: !closed && idle -> turn = true; mine = true
        :: !closed && !idle && isAway -> assert(!isNear)         /* its time is over, and it leaves at once */
        :: !closed && !idle -> queued[me] = true; waiting++      /* or it waits */
        :: !closed && !idle && !isAway -> queued[me] = true; late[me] = true; waiting++
        fi;
        unfold();
        give_lock()
     fi;
     if
     :: mine ->
        holders++;
        assert(holders == 1);
        isNear = true;
        if :: true :: go_away() fi;
        isNear = false;
        holders--;
        /* gives it back: past the lock, if nothing has happened */
        present = position;
        if
        :: present == folded
        :: else -> atomic { if :: position == present -> position = open; mine = false :: else fi }
        fi;
        do
        :: !mine -> break
        :: mine ->
           take_lock();
           fold();
           assert(turn);
#ifndef MISTAKE_MARK_KEPT
           isAway = false;
#endif
           if
           :: waiting > 0 && !closed ->        /* serves one of those who wait, and keeps the turn */
              other = 0;
              do :: queued[other] -> break :: else -> other++ od;
              leave_queue(other)
           :: else -> turn = false; mine = false
           fi;
           unfold();
           give_lock()
        od
     :: !mine ->                               /* waits until it is decided */
        if
        :: !queued[me]
        :: queued[me] && !late[me] ->          /* or until its time is over */
           take_lock(); fold();
           if
           :: !queued[me]
           :: queued[me] && isAway -> assert(!isNear); leave_queue(me)
           :: queued[me] && !isAway -> late[me] = true
           fi;
           unfold(); give_lock();
           !queued[me]
        fi
     fi
  od
}

/* Readiness, a deadline, an inspection: enters, changes nothing. */
proctype Passer() {
  byte times = 2;
  bool wasTurn, wasAway;
  do
  :: times == 0 -> break
  :: times > 0 ->
     times--;
     take_lock(); fold(); unfold(); give_lock()
  od
}

proctype Closer() {
  byte other = 0;
  take_lock();
  copy_position();
  closed = true;
  do
  :: other == N -> break
  :: other < N -> if :: queued[other] -> leave_queue(other) :: else fi; other++
  od;
  give_lock()
}

init {
  byte i = 0;
  atomic {
    do :: i == N -> break :: i < N -> run Caller(i); i++ od;
    run Passer();
#ifndef NO_CLOSE
    run Closer()
#endif
  }
}
