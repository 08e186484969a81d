/* What every file of this target begins with. */
#ifndef CSYSSHIM_SUPPORT_H
#define CSYSSHIM_SUPPORT_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "CSysShim.h"

#include <errno.h>

#define RESULT(call) ({ __typeof__(call) result_ = (call); result_ < 0 ? -errno : result_; })
#define RETRIED(call) \
  ({ __typeof__(call) result_; do result_ = (call); while (result_ < 0 && errno == EINTR); \
     result_ < 0 ? -errno : result_; })

#endif
