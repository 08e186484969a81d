/* A note that a thread leaves for the case that the code it is about to call traps. */
#ifndef CTRAPNOTE_H
#define CTRAPNOTE_H

/* If this thread gets a signal such as SIGILL, SIGSEGV or SIGABRT from now on, the text is written to standard error
 * before the signal does what it did before. At most 1,000 bytes are kept. NULL takes the note back. */
void trapnote_set(const char *text);

#endif
