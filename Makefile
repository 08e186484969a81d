# One verb for each habit. Each installs what it needs if it may, and says what is missing if it may not.

# The number of seeds for `make simulate`, and the arguments for `swift test`.
SEEDS ?= 200
TEST ?=
# The directory in which swcat is installed.
PREFIX ?= /usr/local
# The arguments for the mutation tool.
MUTATE ?=

.PHONY: help demo test mutate bench fuzz simulate sanitize packaging model model-full bench-counts hostile-counts api docs code-blocks format lint clean swcat install

help:
	@echo 'make demo        run every example'
	@echo 'make test        run every test (TEST="--filter Name": some of them)'
	@echo 'make mutate      change the core one line at a time, and list what no test notices: hours (MUTATE="--minutes 30")'
	@echo 'make sanitize    run them under the thread sanitizer, then under the address sanitizer'
	@echo 'make simulate    run simulated endpoints, datagrams, a listener and a service through SEEDS=$(SEEDS) random schedules'
	@echo 'make packaging   build where msgpack-c is missing, and where it has other names: a minute'
	@echo 'make fuzz        let the fuzzers search (SECONDS_PER_FUZZER=30)'
	@echo 'make model       check the models of a half: small worlds and seeded mistakes, a quarter of an hour'
	@echo 'make model-full  check it in large worlds: half an hour'
	@echo 'make bench       run the benchmarks, five minutes (BENCH="run --quick round-trip": some of them)'
	@echo 'make bench-counts  hold instructions, allocations and system calls against the baseline (UPDATE=1: write it)'
	@echo 'make hostile-counts  count what hostile pickles cost at n bytes and at 4n'
	@echo 'make api         hold the public interface against docs/api (UPDATE=1: write it), and what it must refuse'
	@echo 'make code-blocks compile the Swift code in the documents'
	@echo 'make docs        build the documentation; a warning is an error'
	@echo 'make format      give the code its form'
	@echo 'make lint        complain where it has another, or breaks a house rule'
	@echo 'make swcat       build swcat, which shows and makes frames, and print where it is'
	@echo 'make install     install swcat, with completions and a manual page (PREFIX=$(PREFIX), DESTDIR=)'
	@echo 'make clean       remove everything that the others build'

demo:
	@scripts/setup-swift
	@scripts/with-python scripts/demo

test:
	@scripts/setup-swift
	@scripts/with-python scripts/test $(TEST)

# To mutate some files only: MUTATE="--files '*Turnstile*,*Port*' --jobs 2 --minutes 30 --sample 100". More: Tests/Mutate/mutate.py --help.
mutate:
	@scripts/setup-swift
	@scripts/with-python Tests/Mutate/mutate.py $(MUTATE)

# Prints only the path on standard output, for scripts.
swcat:
	@scripts/setup-swift >&2
	@swift build -c release --package-path Tools --product swcat >&2
	@echo "$$(swift build -c release --package-path Tools --show-bin-path)/swcat"

install:
	@scripts/setup-swift
	@scripts/install-swcat $(PREFIX)

# Each sanitizer has its own build folder, because a change of flags would rebuild everything.
sanitize:
	@scripts/setup-swift
	@SWTEST_SANITIZED=1 SWTEST_ROUNDS=10 TSAN_OPTIONS=suppressions=$(CURDIR)/scripts/tsan.supp:print_suppressions=0 \
		scripts/with-python swift test --no-parallel --sanitize=thread -Xswiftc -DSW_TSAN --scratch-path .build-tsan $(TEST)
	@SWTEST_SANITIZED=1 SWTEST_ROUNDS=10 LSAN_OPTIONS=suppressions=$(CURDIR)/scripts/lsan.supp:print_suppressions=0 \
		ASAN_OPTIONS=suppressions=$(CURDIR)/scripts/asan.supp \
		scripts/with-python swift test --no-parallel --sanitize=address --scratch-path .build-asan $(TEST)

packaging:
	@scripts/setup-swift
	@scripts/packaging

simulate:
	@scripts/setup-swift
	@for world in endpoints datagrams listener service; do swift run -c release simulate --world $$world --seeds $(SEEDS) || exit 1; done

fuzz:
	@scripts/setup-swift
	@Fuzz/run
	@Fuzz/MsgPack/run
	@scripts/with-python Fuzz/Pickles/run

model:
	@scripts/setup-apt spin gcc libc6-dev
	@Model/check quick

model-full:
	@scripts/setup-apt spin gcc libc6-dev
	@Model/check full

bench:
	@scripts/setup-swift
	@scripts/with-python scripts/bench $(BENCH)

# Nothing is timed, so the same program has the same counts on a busy machine.
bench-counts:
	@scripts/setup-swift
	@scripts/bench-counts $(if $(UPDATE),--update) $(if $(PROFILE),--profile $(PROFILE))

hostile-counts:
	@scripts/setup-swift
	@command -v valgrind >/dev/null || scripts/setup-apt valgrind
	@scripts/hostile-counts

# Modules that are built already are not built again.
api:
	@scripts/setup-swift
	@scripts/api $(if $(UPDATE),--update)

# Modules that are built already are not built again.
code-blocks:
	@scripts/setup-swift
	@scripts/code-blocks

docs:
	@scripts/setup-swift
	@scripts/docs

format:
	@scripts/setup-swift
	@scripts/sources '*.swift' | xargs -0 swift format --in-place --parallel

lint:
	@scripts/setup-swift
	@scripts/lint

clean:
	rm -rf .build .build-* Benchmarks/.build Benchmarks/Counts/.build Tools/.build Tools/.build-static Tests/Mutate/.build Examples/*/.build
