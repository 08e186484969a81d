/* Addresses as text, and the names of errors. */
#include "support.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>

int swsys_parse_ip(const char *text, uint8_t address[16]) {
  if (inet_pton(AF_INET, text, address) == 1) return 4;
  return inet_pton(AF_INET6, text, address) == 1 ? 16 : 0;
}

bool swsys_format_ip(const uint8_t *address, int byte_count, char text[64]) {
  return inet_ntop(byte_count == 4 ? AF_INET : AF_INET6, address, text, 64) != NULL;
}

uint32_t swsys_interface_index(const char *name) { return if_nametoindex(name); }

const char *swsys_error_name(int error) { return strerrorname_np(error); }
