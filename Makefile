# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists the targets. The native library, both wasm variants and the Emscripten and WASI builds compile the
# same files; what differs is one variable of flags each. Everything that is built lies under build/ and js/.

config ?= release

core    := attn check check_masker mask masker select logits coarse sampling oracle group_top_k quest double_sparsity hash_attention lookup product_quantization pq_cache importance socket random_sampling adaptive_sampling magic_pig sparse plan route run strip gather close entries explain tile tile_f32 tile_f16 tile_bf16 pack softmax source dropout partials rng memory
exports := attn_plan_init attn_run attn_run_slice attn_partials_merge attn_partials_finish attn_list_entries attn_explain attn_convert attn_masker_plan_init attn_masker_append attn_masker_choose attn_memory_base \
           attn_heap_init attn_heap_extend attn_heap_alloc attn_heap_free attn_heap_shortfall attn_heap_used
tests   := test numbers heap statuses mask_statuses kernels slices extremes grid masks entries select maskers random_problems properties parts subject cells programs
fuzzers := problem maskers

warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wno-unknown-pragmas
every    := -std=c11 -ffp-contract=off $(warnings) $(if $(CI),-Werror) -Isrc

.DELETE_ON_ERROR:
.PHONY: build help test test-c test-nodes fuzz dist demo bench bench-maskers check format emscripten wasi wasm native clean

# What pictures need of other packages: colours, outlines of letters, panning and zooming.
drawn := $(patsubst %,attention-map/%.js,ramps glyphs zoom)

build: js/abi.js js/binary-base.js js/binary-relaxed.js $(drawn) build/tests/bits-base.wasm build/tests/bits-relaxed.wasm native

help:
	@echo 'make build         the library, both wasm variants and the files generated from them'
	@echo 'make test          C, Node and browser tests (CHROMIUM=path names a browser)'
	@echo 'make dist          the demo as static files, in web-demo/dist'
	@echo 'make demo          builds these and serves them on localhost (PORT=n)'
	@echo 'make bench         measures speed; make bench-maskers that of maskers'
	@echo 'make check         sanitizers, a short fuzz run, formatting, lint and types'
	@echo 'make test-nodes    the Node tests on Node 20, 24 and 26 from npm (cases=n: how many random ones)'
	@echo 'make emscripten    the library and the C tests with emcc'
	@echo 'make wasi          the library and the C tests for WASI'
	@echo 'make format        lays out the C sources as `make check` wants them'
	@echo 'make clean         removes what was built'
	@echo
	@echo 'config=release|debug|sanitize|fuzz    how C is compiled (sanitize and fuzz: native code only)'
	@echo 'TOOLCHAIN=native|npm                  which clang builds the wasm; CLANG and WASI_SDK_PATH are honoured'

node_modules/.package-lock.json: package.json package-lock.json
	npm ci
	@touch $@
bench/node_modules/.package-lock.json: bench/package.json bench/package-lock.json
	npm ci --prefix bench
	@touch $@

# ---- WebAssembly: one batch of commands for whichever clang there is; tools/clang.mjs skips what is up to date ----

# Small, but for what most of the time goes to. Reducing the strength of loops' addresses makes neither faster.
fast         := softmax strip gather select source lookup tile_f32 tile_f16 tile_bf16
tune_release  = $(if $(filter $(f),$(fast)),-Os,-Oz) -fno-vectorize -fno-slp-vectorize -fno-unroll-loops -mllvm -disable-lsr
tune_debug   := -O1 -g
wasm_base     = --target=wasm32 $(every) -msimd128 -mbulk-memory $(or $(tune_$(config)),$(tune_release))
wasm_relaxed  = $(wasm_base) -mrelaxed-simd
wasm_link    := --no-entry --stack-first -z stack-size=131072 --gc-sections $(if $(filter debug,$(config)),,--strip-all)

# $(call compile,flags,source,object) and $(call link,variant,flags,objects of the variant,module)
compile = 'clang $(1) -MMD -c $(2) -o $(3)'
link    = 'wasm-ld $(wasm_link) $(2) $(3:%=build/wasm/$(1)/%.o) -o $(4)'
jobs_of = $(foreach f,$(core) wasm,$(call compile,$(wasm_$(1)),src/$(f).c,build/wasm/$(1)/$(f).o)) \
          $(foreach f,cases bits,$(call compile,$(wasm_$(1)),tests/$(f).c,build/wasm/$(1)/$(f).o)) \
          $(call link,$(1),--import-memory $(exports:%=--export=%),$(core) wasm,js/$(1).wasm) \
          $(call link,$(1),--export-all,$(core) cases bits,build/tests/bits-$(1).wasm)
abi_job = $(call compile,$(wasm_base),build/abi.c,build/wasm/base/abi.o) \
          $(call link,base,--export=abi_values --export=attn_status_string --export=attn_field_string,$(core) abi,build/abi.wasm)

wasm: build/abi.c node_modules/.package-lock.json
	@printf '%s\n' $(call jobs_of,base) $(call jobs_of,relaxed) $(abi_job) | node tools/clang.mjs

js/base.wasm js/relaxed.wasm build/abi.wasm build/tests/bits-base.wasm build/tests/bits-relaxed.wasm: wasm
	@:
headers := src/attn.h src/maskers.h
build/abi.c: $(headers) tools/abi.mjs
	@mkdir -p $(@D)
	node tools/abi.mjs $(headers) > $@
js/abi.js: build/abi.wasm
	node tools/abi.mjs $(headers) $< > $@
js/binary-%.js: js/%.wasm tools/embed.mjs
	node tools/embed.mjs $< > $@
attention-map/ramps.js: tools/ramps.mjs node_modules/.package-lock.json
	node $< > $@
attention-map/glyphs.js: tools/font.mjs node_modules/.package-lock.json
	node $< > $@

# ---- What the heat map takes of other packages ----

attention-map/zoom.js: tools/zoom.mjs node_modules/.package-lock.json
	node tools/zoom.mjs > $@

# ---- Native code, and Emscripten, whose compiler stands in for cc ----

native_release    := -O2
native_debug      := -O0 -g
native_sanitize   := -O2 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
native_fuzz       := $(native_sanitize)
native_emscripten := -O2 -msimd128
link_emscripten   := -sWASM_ASYNC_COMPILATION=0 -sNODERAWFS -sALLOW_MEMORY_GROWTH

out   := build$(patsubst %,/%,$(filter-out release,$(config)))
flags  = $(every) $(native_$(config)) $(CFLAGS)
ifeq ($(config),emscripten)
  CC  := emcc
  AR  := emar
  exe := .cjs
  run := node
  # Debian's emcc looks for acorn here.
  export NODE_PATH := $(wildcard /usr/share/nodejs)
endif
ifeq ($(config),fuzz)
  # A clang that has libFuzzer; without one (or with clang=) the fuzzers run on what a plain driver draws.
  has_fuzzer = $(shell mkdir -p $(out); echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
                 $(1) -fsanitize=fuzzer,address -x c - -o $(out)/probe 2> /dev/null && echo $(1))
  clang := $(firstword $(foreach c,$(CLANG) clang clang-22 clang-21 clang-20,$(call has_fuzzer,$(c))))
  ifneq ($(clang),)
    CC          := $(clang)
    native_fuzz += -fsanitize=fuzzer-no-link
    link_fuzz   := -fsanitize=fuzzer
  else
    fuzz_driver := $(out)/tests/fuzz_driver.o
  endif
endif

# $(call say,command) shows the program and what it makes; V=1 the whole command.
say = $(if $(V),,@echo '  $(firstword $(1)) $@'; )$(1)

native: $(out)/libattn.a $(out)/tests/bits$(exe)

$(out)/%.o: %.c $(out)/flags
	@mkdir -p $(@D)
	$(call say,$(CC) $(flags) -MMD -MP -c $< -o $@)
$(out)/libattn.a: $(core:%=$(out)/src/%.o)
	@rm -f $@
	$(call say,$(AR) rcs $@ $^)
$(out)/tests/test$(exe): $(tests:%=$(out)/tests/%.o) $(out)/src/reference.o
$(out)/tests/bits$(exe): $(out)/tests/bits.o
$(fuzzers:%=$(out)/tests/fuzz_%): $(out)/tests/fuzz_%: $(out)/tests/fuzz_%.o $(out)/src/reference.o $(fuzz_driver)
$(out)/tests/test$(exe) $(out)/tests/bits$(exe) $(fuzzers:%=$(out)/tests/fuzz_%): $(out)/tests/cases.o $(out)/libattn.a
	$(call say,$(CC) $(flags) $(filter %.o,$^) $(out)/libattn.a -lm $(link_$(config)) -o $@)

# Other flags or another compiler: everything again.
$(out)/flags: always
	@mkdir -p $(@D)
	@echo '$(CC) $(flags)' | cmp -s - $@ || echo '$(CC) $(flags)' > $@
always:
-include $(wildcard $(out)/src/*.d $(out)/tests/*.d)

# ---- What is done with them ----

node_test  = --test --test-concurrency=2 --test-reporter=spec tests/*.test.js
# $(call need,program,package) stops with the name of what is missing
need       = @command -v $(1) > /dev/null || { echo 'make $@ needs $(1) (Debian: apt-get install $(2))'; exit 1; }

test: build test-c
	node $(node_test) tests/browser/*.test.js

test-c: $(out)/tests/test$(exe)
	$(run) $<

# libFuzzer prints an input that fails and writes it to $(out).
fuzz: $(fuzzers:%=$(out)/tests/fuzz_%)
	cd $(out) && $(foreach f,$(fuzzers),tests/fuzz_$(f) $(if $(fuzz_driver),,-max_total_time=$(or $(seconds),20) -max_len=4096 -verbosity=0 -print_funcs=0) &&) true

dist: build
	node tools/build-demo.mjs
demo: dist
	@PORT=$(PORT) node tools/serve.mjs web-demo/dist

bench_jobs = $(foreach v,base relaxed,$(call compile,$(wasm_$(v)),bench/limit.c,build/bench/limit-$(v).o) \
               'wasm-ld $(wasm_link) --export-all build/bench/limit-$(v).o -o build/bench/limit-$(v).wasm')
select_jobs = $(foreach v,base relaxed,$(call compile,$(wasm_$(v)),bench/select.c,build/wasm/$(v)/bench_select.o) \
                $(call link,$(v),--export-all,$(core) bench_select,build/bench/select-$(v).wasm))
bench: build bench/node_modules/.package-lock.json
	@printf '%s\n' $(bench_jobs) | node tools/clang.mjs
	node bench/bench.js $(ARGS)
bench-maskers: build
	@printf '%s\n' $(select_jobs) | node tools/clang.mjs
	node bench/maskers.js $(ARGS)

check: node_modules/.package-lock.json
	$(MAKE) config=sanitize test-c
	$(MAKE) config=fuzz fuzz
	$(call need,clang-format,clang-format)
	clang-format --dry-run -Werror $(wildcard src/*.[ch] tests/*.[ch])
	node_modules/.bin/eslint .
	node_modules/.bin/tsc -p tests

format:
	clang-format -i $(wildcard src/*.[ch] tests/*.[ch])

emscripten:
	$(call need,emcc,emscripten)
	$(MAKE) config=emscripten test-c

# Vectorising is off as in the wasm build: npm's clang, a prerelease, stops at an assertion of that pass in the tests.
wasi_flags = --target=wasm32-wasip1 $(every) -O2 -msimd128 -fno-vectorize -fno-slp-vectorize
wasi_jobs  = $(foreach f,$(core:%=src/%) src/reference tests/cases $(tests:%=tests/%),$(call compile,$(wasi_flags),$(f).c,build/wasi/$(f).o)) \
             'wasm-ld -r $(core:%=build/wasi/src/%.o) -o build/wasi/attn.o' \
             'clang --target=wasm32-wasip1 $(core:%=build/wasi/src/%.o) build/wasi/src/reference.o build/wasi/tests/cases.o \
              $(tests:%=build/wasi/tests/%.o) -lm -Wl,-z,stack-size=1048576 -o build/wasi/test.wasm'
wasi: node_modules/.package-lock.json
	@printf '%s\n' $(wasi_jobs) | node tools/clang.mjs
	node tools/wasi.mjs build/wasi/test.wasm

# Node's releases as npm carries them; only the one without relaxed SIMD by default needs the flag.
nodes        ?= 20 24 26
flags_node20 := --experimental-wasm-relaxed-simd
platform = $(shell node -p 'process.platform + "-" + process.arch')
build/nodes/node_modules/.package-lock.json: Makefile
	npm install --prefix build/nodes --ignore-scripts --no-audit --no-fund \
	  $(foreach v,20 24 26,node$(v)@npm:node-$(platform)@$(v))
	@touch $@
test-nodes: build build/nodes/node_modules/.package-lock.json
	$(foreach v,$(nodes),$(cases:%=ATTN_CASES=%) build/nodes/node_modules/node$(v)/bin/node $(flags_node$(v)) $(node_test) &&) true

clean:
	rm -rf build web-demo/dist js/abi.js js/binary-base.js js/binary-relaxed.js js/base.wasm js/relaxed.wasm $(drawn)
