#pragma once
void floor_placeholder(void);
