# One door: every target installs what it needs first. On Windows, see the same steps in README.md.
VENV := .venv
PYTHON := $(VENV)/bin/python
STUDIO := .venv-studio
SCALE := .venv-scale
GPU := .venv-gpu
PLUGINS := infer_torchvision_resnext train_torchvision_resnext
CODE := $(PLUGINS) tests examples benchmarks comparison tools
# Processes that share the tests, a file at a time. Networks as small as these gain nothing from more than a thread.
WORKERS := 2
SUITE = OMP_NUM_THREADS=1 $(PYTHON) -m pytest --numprocesses $(WORKERS) --dist loadfile

.PHONY: sync demo test test-older-processor test-studio test-scale test-packages test-matrix test-hub-versions test-gpu bench-gpu a-gpu check format bench compare package publish docs \
	notebooks screenshots mutants clean

demo: $(VENV)/installed
	$(PYTHON) -m examples.demo

test: $(VENV)/installed
	$(SUITE)

# The whole suite as on a processor without AVX512, bf16 and VNNI, which these limits of torch, oneDNN, OpenVINO and MKL emulate.
test-older-processor: $(VENV)/installed
	ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OV_CPU_MAX_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 $(SUITE)

check: $(VENV)/installed
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m mypy
	# The contracts in pyproject.toml: which folder may import which.
	$(VENV)/bin/lint-imports

format: $(VENV)/installed
	$(PYTHON) -m ruff format $(CODE)
	$(PYTHON) -m ruff check --fix $(CODE)

bench: $(VENV)/installed
	$(PYTHON) -m benchmarks

# All that only a GPU can prove, and what it gains: together within an hour on a fresh machine. The table: bench/gpu.md.
test-gpu: a-gpu $(GPU)/installed
	$(GPU)/bin/python -m tools.need_gpu
	# One of the tests fails with it; here it says more.
	-$(GPU)/bin/python -m infer_torchvision_resnext doctor
	$(GPU)/bin/python -m pytest -m gpu

bench-gpu: a-gpu $(GPU)/installed
	$(GPU)/bin/python -m tools.need_gpu
	$(GPU)/bin/python -m benchmarks.gpu

# Before gigabytes are installed for it.
a-gpu:
	python3 -m tools.need_gpu

# Without ARGS: ResNet and ResNeXt at constant cost on the digits. Ctrl-C stops it, the same command goes on.
# ARGS="--architectures resnet50 resnext50_32x4d --rounds 5": two forward passes, no training.
compare: $(VENV)/installed
	$(PYTHON) -m examples.cardinality $(ARGS)

# Both plugins carry the shared sub-package; the inference plugin's is the original.
sync:
	rm -rf train_torchvision_resnext/resnext
	cp -r infer_torchvision_resnext/resnext train_torchvision_resnext/resnext
	rm -rf train_torchvision_resnext/resnext/__pycache__

package: $(VENV)/installed
	$(PYTHON) -m tools.package

# Each package by itself in a fresh environment: installs torch twice.
test-packages: $(VENV)/installed
	$(PYTHON) -m tools.try_packages

# The suite and a workflow in the HUB's versions of torch, the oldest and the newest; writes docs/versions.md. Installs
# torch for each leg that has its Python here, and takes hours.
test-matrix: $(VENV)/installed
	$(PYTHON) -m tools.version_matrix

# The versions that most HUB plugins pin: conversion, int8, runtimes and the workflow only.
test-hub-versions: $(VENV)/installed
	$(PYTHON) -m tools.version_matrix hub --quick

# The forms and the HUB's client need packages of their own, in an environment of their own.
test-studio: $(STUDIO)/installed
	$(STUDIO)/bin/python -m pytest tests/studio

# Bulk inference with Ray, in an environment of its own.
test-scale: $(SCALE)/installed
	$(SCALE)/bin/python -m pytest tests/infer_torchvision_resnext/bulk

screenshots: $(STUDIO)/installed
	$(STUDIO)/bin/python -m tools.screenshots

# NAMESPACE is the HUB's, such as your user name.
publish: $(STUDIO)/installed
	$(STUDIO)/bin/python -m tools.publish $(NAMESPACE)

docs: $(VENV)/installed
	$(PYTHON) -m tools.update_readme
	$(PYTHON) -m tools.draw_icon
	$(PYTHON) -m tools.draw_cardinality
	$(PYTHON) -m examples.demo docs/images
	$(PYTHON) -m examples.photo docs/images
	cp docs/images/photo_boxes.png infer_torchvision_resnext/icons/illustration.png
	cp docs/images/maps.png infer_torchvision_resnext/icons/maps.png
	cp docs/images/training.png train_torchvision_resnext/icons/illustration.png

# Executes both notebooks and keeps what they show.
notebooks: $(VENV)/installed
	$(PYTHON) -m pip install -r requirements-notebooks.txt
	$(PYTHON) -m tools.run_notebooks

# Plants faults in recipe and preprocessing, one at a time, and lists those that no test notices. Some minutes; the
# same command goes on where it stopped. ARGS: names of mutants, such as "*.recipe.*".
mutants: $(VENV)/installed
	$(PYTHON) -m pip install -r requirements-mutants.txt
	OMP_NUM_THREADS=1 $(PYTHON) -m mutmut run --max-children 1 $(ARGS)
	$(PYTHON) -m mutmut results

clean:
	rm -rf $(VENV) $(STUDIO) $(SCALE) $(GPU) .venv-matrix .demo dist bench mutants

$(VENV)/installed: requirements.txt $(PLUGINS:%=%/requirements.txt)
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --quiet --upgrade pip
	@echo "Installing torch, ikomia and others (about 7 GB) takes some minutes."
	$(PYTHON) -m pip install --quiet -r requirements.txt
	touch $@

$(GPU)/installed: requirements.txt $(PLUGINS:%=%/requirements.txt)
	python3 -m venv $(GPU)
	$(GPU)/bin/python -m pip install --upgrade pip
	$(GPU)/bin/python -m pip install -r requirements.txt
	# Both lie in the same folder.
	$(GPU)/bin/python -m pip uninstall --yes onnxruntime
	$(GPU)/bin/python -m pip install onnxruntime-gpu
	touch $@

$(STUDIO)/installed: requirements-studio.txt $(PLUGINS:%=%/requirements.txt)
	python3 -m venv $(STUDIO)
	$(STUDIO)/bin/python -m pip install --upgrade pip
	$(STUDIO)/bin/python -m pip install -r requirements-studio.txt
	touch $@

$(SCALE)/installed: requirements.txt requirements-scale.txt $(PLUGINS:%=%/requirements.txt)
	python3 -m venv $(SCALE)
	$(SCALE)/bin/python -m pip install --upgrade pip
	$(SCALE)/bin/python -m pip install -r requirements.txt -r requirements-scale.txt
	touch $@
