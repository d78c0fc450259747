# One door: every target installs what it needs first. On Windows, see the same steps in README.md.
VENV := .venv
PYTHON := $(VENV)/bin/python
PLUGINS := infer_torchvision_resnext train_torchvision_resnext
CODE := $(PLUGINS) tests examples benchmarks tools

.PHONY: sync demo test check format bench package docs clean

demo: $(VENV)/installed
	$(PYTHON) -m examples.demo

test: $(VENV)/installed
	$(PYTHON) -m pytest

check: $(VENV)/installed
	$(PYTHON) -m ruff format --check $(CODE)
	$(PYTHON) -m ruff check $(CODE)
	$(PYTHON) -m mypy

format: $(VENV)/installed
	$(PYTHON) -m ruff format $(CODE)
	$(PYTHON) -m ruff check --fix $(CODE)

bench: $(VENV)/installed
	$(PYTHON) -m benchmarks

# Both plugins carry the shared sub-package; this one is the original.
sync:
	rm -rf train_torchvision_resnext/resnext
	cp -r infer_torchvision_resnext/resnext train_torchvision_resnext/resnext
	rm -rf train_torchvision_resnext/resnext/__pycache__

package: $(VENV)/installed
	$(PYTHON) -m tools.package

docs: $(VENV)/installed
	$(PYTHON) -m tools.update_readme
	$(PYTHON) -m tools.draw_icon
	$(PYTHON) -m examples.demo docs/images

clean:
	rm -rf $(VENV) .demo dist bench

$(VENV)/installed: requirements.txt $(PLUGINS:%=%/requirements.txt)
	python3 -m venv $(VENV)
	$(PYTHON) -m pip install --upgrade pip
	$(PYTHON) -m pip install -r requirements.txt
	touch $@
