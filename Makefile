.DEFAULT_GOAL := help
.PHONY: help bench-predict bench-evaluate bench-train-detection demo demo-detection demo-segmentation run monitor docs images tools setup protos check fix test test-slow lock bench-gateway bench-import bench-parquet bench-train clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(wildcard protos/nocode/vision/v1/*.proto)
INSTALLED := $(VENV)/.installed
GENERATED := build/protos/.generated
TOOLS := build/tools
# Two OpenMP threads on a shared machine stall at random; one is steady.
export OMP_NUM_THREADS ?= 1
# Parallel by process instead; one more than there are cores, since many tests wait.
TEST_PROCESSES ?= 3

help:  ## Show this list.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-22s %s\n", $$1, $$2}'

setup: $(INSTALLED) $(GENERATED)  ## Install everything into .venv and generate code.

$(VENV)/bin/uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet uv

# Byte code is compiled at install: without it every start of torch takes three times as long.
$(INSTALLED): requirements.lock pyproject.toml | $(VENV)/bin/uv
	mkdir -p build/protos
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --compile-bytecode -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --no-deps -e .
	touch $@

protos: $(GENERATED)  ## Generate Python code from the protos.

$(GENERATED): $(PROTOS) $(INSTALLED)
	mkdir -p build/protos
	$(BIN)/python -m grpc_tools.protoc -Iprotos -I$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
	  --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --python_out=build/protos --grpc_python_out=build/protos --mypy_out=build/protos --mypy_grpc_out=build/protos \
	  --include_imports --include_source_info --descriptor_set_out=build/image.binpb $(PROTOS)
	touch $@

demo: setup  ## Train on real images, measure, predict, and show it.
	$(BIN)/python -m examples.classification

demo-detection: setup  ## The same for finding cells in photos of blood.
	$(BIN)/python -m examples.detection

demo-segmentation: setup  ## The same for the parts of facades, pixel by pixel.
	$(BIN)/python -m examples.segmentation

lock:  ## Pin the newest versions that pyproject.toml allows.
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes --upgrade \
	  --no-emit-index-url --no-emit-find-links --no-header --output-file requirements.lock

check: setup  ## Lint code, types, protos and imports. Writes nothing.
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/buf lint build/image.binpb --config protos/buf.yaml
	$(BIN)/buf format --diff --exit-code protos
	BUF=$(BIN)/buf PY=$(BIN)/python protos/breaking.sh

fix: setup  ## Repair what `check` complains about, as far as a program can.
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/buf format --write protos

test: setup tools  ## Run the tests.
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test-slow: setup tools  ## Run the tests that train for minutes.
	$(BIN)/pytest -m slow

tools: $(TOOLS)/prometheus  ## Fetch Prometheus, for tests and `make monitor`, if it is not there.

# Of Debian's package, unless it is installed: nothing else is published where every machine gets it.
$(TOOLS)/prometheus:
	mkdir -p $(TOOLS)
	deploy/monitoring/fetch.sh $(TOOLS)

run: setup  ## Run the whole system on this machine until Ctrl-C; with MLFLOW=1, MLflow too.
	$(BIN)/python -m deploy.local $(if $(MLFLOW),--mlflow)

monitor: setup tools  ## Run Prometheus beside `make run`.
	$(BIN)/python -m deploy.monitoring

docs: setup  ## Write the documents that are made from the code.
	$(BIN)/python -m docs.api
	$(BIN)/python -m docs.weights
	$(BIN)/python -m docs.code

images:  ## Build the container images; needs Docker with buildx.
	REVISION=$$(git rev-parse HEAD) docker buildx bake --file deploy/docker/bake.hcl

bench-gateway: setup  ## Measure what the gateway adds to a call, beside nginx.
	$(BIN)/python -m benchmarks.gateway

bench-import: setup  ## Measure the memory and speed of importing 20,000 images.
	$(BIN)/python -m benchmarks.import_memory

bench-parquet: setup  ## Measure the memory and speed of importing 100,000 rows of parquet.
	$(BIN)/python -m benchmarks.parquet

bench-predict: setup  ## Measure prediction beside the same model called in one process.
	$(BIN)/python -m benchmarks.predict

bench-train: setup  ## Measure the training loop beside the same network on a batch in memory.
	$(BIN)/python -m benchmarks.train

bench-train-detection: setup  ## Measure the training of detectors beside torchvision's plain loop.
	$(BIN)/python -m benchmarks.train_detection

bench-evaluate: setup  ## Measure the evaluation of detections beside pycocotools.
	$(BIN)/python -m benchmarks.evaluate

clean:  ## Remove what was generated and the data of `make run`.
	rm -rf build .run .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
