/* The short way to the turn, past the lock: Sources/SWMessaging/Halves/Turnstile.swift, docs/half.md section 4.
 *
 *   spin -a turnstile.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *
 * Callers take the turn past the lock if they meet nobody, else under it, or wait. Somebody else enters
 * critical sections now and then, and closes. Each access to the turnstile is a step of its own, so that
 * what happens past the lock falls between any two steps of a critical section.
 *
 * -DMISTAKE_READ_UNFOLDED   a section trusts `turn` without folding: two have the turn
 * -DMISTAKE_UNFOLD_WAITERS  a section unfolds although somebody waits: nobody looks after him (with -DNO_CLOSE,
 *                           for a close would free him)
 * -DMISTAKE_FOLD_AFTER_LOOK the state is looked at before the fold: two have the turn
 */
#ifndef N
#define N 3
#endif
#ifndef CALLS
#define CALLS 2
#endif

mtype = { open, held, folded };
mtype position = open;
bool lock;                    /* the mutex */
bool turn, closed;            /* the state behind it */
byte waiting;                 /* how many wait in the queue */
bool queued[N];
byte holders;                 /* who believes to have the turn: never two */

inline take_lock()   { atomic { !lock -> lock = true } }
inline give_lock()   { lock = false }
inline fold() {
#ifdef MISTAKE_READ_UNFOLDED
  skip
#else
  atomic { if :: position == held -> turn = true :: else fi; position = folded }
#endif
}
inline unfold() {
#ifdef MISTAKE_UNFOLD_WAITERS
  if :: !closed -> atomic { position = (turn -> held : open); turn = false }
     :: else
  fi
#else
  if :: waiting == 0 && !closed ->
          wasTurn = turn; turn = false;
          position = (wasTurn -> held : open)
     :: else
  fi
#endif
}

proctype Caller(byte me) {
  byte calls = CALLS, other;
  bool mine, wasTurn, idle;
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
        :: !closed && !idle -> queued[me] = true; waiting++
        fi;
        unfold();
        give_lock()
     fi;
     if
     :: mine ->
        holders++;
        assert(holders == 1);
        holders--;
        /* gives it back: past the lock, if nothing has happened */
        atomic { if :: position == held -> position = open; mine = false :: else fi }
        do
        :: !mine -> break
        :: mine ->
           take_lock();
           fold();
           assert(turn);
           if
           :: waiting > 0 && !closed ->        /* serves one of those who wait, and keeps the turn */
              other = 0;
              do :: queued[other] -> break :: else -> other++ od;
              queued[other] = false; waiting--
           :: else -> turn = false; mine = false
           fi;
           unfold();
           give_lock()
        od
     :: !mine -> !queued[me]                   /* waits until it is decided */
     fi
  od
}

/* Readiness, a deadline, an inspection: enters, changes nothing. */
proctype Passer() {
  byte times = 2;
  bool wasTurn;
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
  atomic { if :: position == held -> turn = true :: else fi; position = folded }
  closed = true;
  do
  :: other == N -> break
  :: other < N -> if :: queued[other] -> queued[other] = false; waiting-- :: else fi; other++
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
