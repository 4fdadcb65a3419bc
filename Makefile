# Each target sets up what it needs, on a fresh machine too: Python >= 3.11 with venv, nothing else.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: setup demo test long learn cluster slurm images wheel browser lint bench faults dry-gpu clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: $(READY)
	$(BIN)/rhas demo demo $(if $(QUICK),--quick)

# In three processes, for two cores, as tests wait for processes of their own; the tests of a file stay together, since
# they share what is made for them once.
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --ignore tests/cluster --ignore tests/browser --ignore tests/dry_gpu \
	--ignore tests/learning --ignore tests/wheel
test: $(READY) lint
	$(TESTS) -m "not long" -n 3 --dist loadfile --no-loadscope-reorder

# Tests that take half a minute and more and try again, in another place or at greater length, what others try.
long: $(READY)
	$(TESTS) -m long --durations=0

# Every shipped preset learns as it is shipped, and the default one 137 classes by heart: what each reached is shown.
# Three quarters of an hour on two cores.
learn: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rP -n 2 --dist worksteal tests/learning

# Several raylets, of which some are killed and some come late, machines made of network namespaces (as root, with
# iproute2), Slurm on such machines and containers of the image: half an hour on top of the tests'.
CLUSTER := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs
APT := apt-get install --yes --no-install-recommends
cluster: $(READY) slurmd image
	$(CLUSTER) tests/cluster

# Slurm alone. Debian's packages are installed where they are missing; their own services aren't needed.
slurm: $(READY) slurmd
	$(CLUSTER) tests/cluster/test_slurm_script.py tests/cluster/test_slurm.py

# The CPU image, built here without an engine or a registry of images, and what is tried with it: 20 minutes the first time.
# Packages come from the indexes that pip knows here, as wheels, and are built for the Python of Debian bookworm.
images: $(READY) image
	$(CLUSTER) tests/cluster/test_images.py tests/cluster/test_entry_commands.py

.PHONY: slurmd image
slurmd:
	which slurmctld slurmd munged sbatch >/dev/null || \
		{ apt-get update && $(APT) slurmctld slurmd slurm-client munge; }

image: $(READY)
	which buildah podman runc debootstrap >/dev/null || \
		{ apt-get update && $(APT) buildah podman runc debootstrap; }
	podman image exists localhost/rhas:cpu || { \
		$(BIN)/pip wheel --quiet --wheel-dir bench/wheels --constraint constraints.txt . 'setuptools>=77' && \
		WHEELS=bench/wheels sh docker/build.sh cpu; }

# What `python -m build` gives, installed into a fresh environment outside the repository: five minutes, most of them pip's.
wheel: $(READY)
	$(BIN)/python -m pytest tests/wheel

# `rhas view` in a headless Chromium, the distribution's (fetched by apt as root where there is none): what is shown of
# every kind of movie, edits, saving, and memory and start of ten hours with twenty persons, which are shown.
browser: $(READY) .venv/.browser
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rP tests/browser

.venv/.browser: $(READY) tests/browser/requirements.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --requirement tests/browser/requirements.txt
	command -v chromium && command -v chromedriver || { apt-get update --quiet && \
		apt-get install --quiet --yes --no-install-recommends chromium chromium-driver; }
	touch $@

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# All benchmarks, or those that are named behind it: make bench decode
bench: $(READY)
	$(BIN)/python -m tests.bench $(filter-out bench,$(MAKECMDGOALS))

ifeq (bench,$(firstword $(MAKECMDGOALS)))
$(eval $(filter-out bench,$(MAKECMDGOALS)):;@:)
endif

# 200 kills at random moments, over both stages; the tests have a few of them.
faults: $(READY)
	OMP_NUM_THREADS=1 PYTHONPATH=tests/helpers $(BIN)/python -m tests.faults --kills 200

# Steps and predictions of each model but FACT at full size on a GPU that isn't there, in PyTorch's CUDA build: 2 GB to
# download and 5 GB on disk the first time. `===` keeps pip from a CPU build of the same version.
GPU := .venv-gpu/bin
dry-gpu: $(READY) .venv-gpu/.ready
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/dry_gpu
	OMP_NUM_THREADS=1 PYTHONPATH=src:tests/helpers $(GPU)/python -m tests.dry_gpu

.venv-gpu/.ready: constraints.txt tests/dry_gpu/requirements.txt
	$(PYTHON) -m venv .venv-gpu
	$(GPU)/pip install --quiet --constraint constraints.txt --requirement tests/dry_gpu/requirements.txt \
		"torch===$$(sed -n 's/^torch==//p' constraints.txt)"
	touch $@

# The tables of docs/ablation.md, docs/grounding.md, docs/field.md and docs/ravar.md, into bench/tables: a day of two
# cores, with AT_ONCE=2. Whatever is done isn't done again.
TABLES := bench/tables
AT_ONCE ?= 1
EXTRACT := $(BIN)/rhas extract --preset mini --set encoder.tokens=all --cpus 1 --no-speed-check
UNREFINED := $(EXTRACT) --movies $(TABLES)/ordinary/manifest.csv --set detector.refine=null
COMPARE := $(BIN)/rhas benchmark --seeds 3 --split cross-movie --set "data.proportions=[60,15,25]" --at-once $(AT_ONCE)
.PHONY: tables
tables: $(READY)
	for kind in ordinary memory long-tail; do \
		$(BIN)/rhas world $(TABLES)/$$kind --kind $$kind --movies 80 --seed 1 --seconds 30 60 && \
		$(EXTRACT) --movies $(TABLES)/$$kind/manifest.csv --out $(TABLES)/$$kind-features || exit 1; \
	done
	$(EXTRACT) --movies $(TABLES)/ordinary/manifest.csv --out $(TABLES)/true --detector $(TABLES)/ordinary/boxes.csv
	$(UNREFINED) --out $(TABLES)/unrefined
	$(UNREFINED) --out $(TABLES)/frames --set tracks.implementation=frames
	$(UNREFINED) --out $(TABLES)/alone --set tracks.implementation=frames --set detector.exclusive=false
	$(UNREFINED) --out $(TABLES)/sparse --set encoder.crop_every=3 --set encoder.frame_every=3
	for found in ordinary-features unrefined; do \
		$(BIN)/rhas calibrate $(TABLES)/$$found --boxes $(TABLES)/ordinary/boxes.csv --exact $(TABLES)/$$found-exact.csv && \
		$(EXTRACT) --movies $(TABLES)/ordinary/manifest.csv --out $(TABLES)/$$found-exact \
			--detector $(TABLES)/$$found-exact.csv || exit 1; \
	done
	$(COMPARE) --shards $(TABLES)/ordinary-features --out $(TABLES)/boxes --models hopadiff --config small \
		$(foreach other,unrefined true,--also $(other)=$(TABLES)/$(other)) --also exact=$(TABLES)/ordinary-features-exact
	$(COMPARE) --shards $(TABLES)/unrefined --out $(TABLES)/boxes-as-found --models hopadiff --config small \
		$(foreach other,frames alone true sparse,--also $(other)=$(TABLES)/$(other)) --also exact=$(TABLES)/unrefined-exact
	$(COMPARE) --shards $(TABLES)/ordinary-features --out $(TABLES)/default --models hopadiff \
		--also unrefined=$(TABLES)/unrefined --also true=$(TABLES)/true
	$(COMPARE) --shards $(TABLES)/unrefined --out $(TABLES)/grounding --preset grounding --config small
	$(COMPARE) --shards $(TABLES)/ordinary-features --out $(TABLES)/ablation --preset ablation --config small
	$(COMPARE) --shards $(TABLES)/memory-features --out $(TABLES)/ablation-memory --preset ablation --config small
	$(COMPARE) --shards $(TABLES)/long-tail-features --out $(TABLES)/ablation-long-tail --preset ablation --config small
	$(COMPARE) --shards $(TABLES)/ordinary-features --out $(TABLES)/field --preset field --also true=$(TABLES)/true
	$(COMPARE) --shards $(TABLES)/ordinary-features --out $(TABLES)/ahead --preset anticipation --task anticipation
	$(BIN)/rhas ravar world $(TABLES)/ravar --movies 60 --seeds 3

clean:
	rm -rf .venv .venv-gpu demo bench
