void floor_placeholder(void) {}
