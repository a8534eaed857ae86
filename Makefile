# What a person types. Python 3.11 or later, git and make are enough: everything else goes into .venv.
PYTHON ?= python3
python := .venv/bin/python
unexport PYTHONDONTWRITEBYTECODE # pip installs source (--no-compile); what is imported is compiled once, not at every start
# One BLAS thread: tests and chapters share the cores, and the last digits do not depend on how many there are.
export OMP_NUM_THREADS := 1
# Where a chapter keeps the figures it shows, from which slides are made.
figures := FPNOTES_FIGURES=$(CURDIR)/_build/figures
jb := $(figures) .venv/bin/jupyter-book build . -W -n --keep-going

.PHONY: help book pdf lite notebooks site slides test test-slow test-browser test-lite test-notebooks test-frameworks reproduce-check test-versions coverage mutants audit zizmor serve outputs reviewed check format lengths links assignments keys test-assignments bench package agreed release requirements clean
.DELETE_ON_ERROR:

help: ## list these commands
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/make \1\t\2/p' Makefile | expand -t 20

# ---- The environment: pip runs only when what it would install has changed ----
.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "This book needs Python 3.11 or later; $(PYTHON) is " + sys.version.split()[0] + ". Try: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(python) -m pip install --quiet --no-compile --require-hashes -r requirements.txt
	$(python) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# ---- The book ----
# jupyter-cache sees the cells of a chapter, not the code they import. This file is named for the checksum of
# that code, so a changed module, table or version starts the book afresh.
code := _build/.of-$(firstword $(shell cksum requirements.txt $$(find fpnotes -name '*.py' -o -name '*.csv' -o -name '*.npz') | cksum))
$(code): | .venv/installed
	rm -rf _build && mkdir _build && touch $@

# Chapters run side by side into the cache, where Sphinx finds them; one that fails it runs again, and reports.
jcache := $(figures) JUPYTERCACHE=_build/.jupyter_cache $(python) book/extensions/timed_jcache.py
run-chapters = yes | $(jcache) notebook add -r myst_nb_md $$(grep -l ^kernelspec book/*.md) && $(jcache) project execute -e local-parallel -t 600

# Sphinx warns about a page only when it reads it: after a build that did not succeed, every page is read again.
book: .venv/installed $(code) ## build the book in _build/html
	@test -e _build/.complete || rm -rf _build/.doctrees; rm -f _build/.complete
	-@$(run-chapters) >_build/chapters.log 2>&1
	$(jb)
	@touch _build/.complete
	@echo "The book is built. Open _build/html/index.html, or run: make serve"

pdf: book ## print the book: _build/learning-fixed-points.pdf, by headless Chromium
	$(python) book/editions/pdf.py

serve: book ## build the book and show it at http://localhost:8000
	$(python) -m http.server --bind localhost --directory _build/html 8000

links: .venv/installed $(code) ## follow every external link of the book
	rm -f _build/.complete; $(jb) --builder linkcheck

lite: book ## make _build/lite: the chapters as notebooks that run in a browser, with nothing installed (JupyterLite)
	$(python) book/editions/lite.py

notebooks: book ## make _build/notebooks: the chapters to run, each on its own, with what to install
	$(python) book/editions/notebooks.py

site: pdf lite ## make _build/site, which is what publish.yml publishes: the book, and the editions that its pages link to
	PYTHONPATH=book/extensions $(python) book/editions/website.py

# ---- The tests ----
test: notebooks ## build the book and run its tests: package, chapters, pages
	$(python) tests/book/notebooks.py prepare
	$(python) -m pytest --whole -m "not slow" -n 2 --dist loadscope --nbval-lax --nbval-current-env --nbval-cell-timeout 600 --ignore tests/course --ignore tests/frameworks --ignore tests/site/browser tests _build/nbval

# Run a few of them in JupyterLab, from start to end, and move their sliders.
test-notebooks: notebooks ## open notebooks in JupyterLab, run all, move every slider (minutes)
	$(python) -m pytest --whole tests/site/browser/test_lab.py

reproduce-check: .venv/installed ## do the runs of the stored tables still begin as they did? Their first ten steps, to 1e-6
	$(python) -m fpnotes.chapters.first_steps

# Such tests are marked slow where they stand. The sample of mutants is drawn from a seed.
test-slow: book assignments ## run what make test and make test-assignments leave out, and a sample of mutants (an hour)
	$(python) -m pytest --whole -m slow -n 2 --dist loadscope --ignore tests/frameworks --ignore tests/site/browser tests
	$(MAKE) mutants SAMPLE=$(or $(SAMPLE),20)

test-browser: pdf slides ## see every page, slide and printed page in Chromium: sliders, formulas, dark mode, a phone, accessibility, weight
	$(python) -m pytest --whole -n 2 --dist loadgroup --ignore tests/site/browser/test_lite.py --ignore tests/site/browser/test_lab.py tests/site/browser

# The kernel's host is copied first, as far as npm and PyPI have it: pinned versions, checked hashes.
test-lite: lite ## open that site in Chromium and start its Python, with a copy of Pyodide's core in place of its host
	PYTHONPATH=book/editions $(python) tests/site/browser/pyodide_host.py
	$(python) -m pytest --whole tests/site/browser/test_lite.py

# Every module of the package, without pages and chapters, in an environment that is made anew each time. A pin
# that has no wheel for that Python is passed over: nothing is compiled.
RESOLUTION ?= lowest-direct
versions := _build/versions-$(notdir $(PYTHON))-$(RESOLUTION)
test-versions: .venv/installed ## test the package with the oldest or newest releases it allows (PYTHON=python3.13 RESOLUTION=highest)
	rm -rf $(versions) && mkdir -p $(versions)
	.venv/bin/uv venv --quiet --no-python-downloads --python $(PYTHON) --seed $(versions)/venv
	.venv/bin/uv pip compile pyproject.toml --extra test --resolution $(RESOLUTION) --only-binary :all: \
	  --python $(versions)/venv --generate-hashes --no-annotate --quiet -o $(versions)/requirements.txt
	.venv/bin/uv pip install --quiet --python $(versions)/venv --require-hashes -r $(versions)/requirements.txt
	.venv/bin/uv pip install --quiet --python $(versions)/venv --no-deps --no-build-isolation .
	$(versions)/venv/bin/python -m pytest -n 2 --dist loadscope tests/package

coverage: .venv/installed ## which lines and branches of the package do its tests run? At least 95 % (_build/coverage)
	$(python) -m coverage run -m pytest -n 2 --dist loadscope tests/package
	$(python) -m coverage combine --quiet && $(python) -m coverage html --quiet && $(python) -m coverage report

outputs: .venv/installed ## refresh the expected outputs of the chapters (CHAPTERS="stability ..." for some)
	$(python) tests/book/notebooks.py update $(CHAPTERS)

reviewed: .venv/installed ## note that statements were compared with their tests, as they stand now (LABELS="eq-... clm-...")
	$(python) tests/book/reviewed.py $(LABELS)

lengths: .venv/installed ## estimate how long each chapter takes to read, and show what makes that up
	@$(python) book/extensions/length.py

check: .venv/installed ## lint, layout, spelling and types
	.venv/bin/ruff check && .venv/bin/ruff format --check
	git ls-files -z | xargs -0 .venv/bin/codespell
	.venv/bin/pyright
	PYTHONPATH=. .venv/bin/pyright --pythonpath $(python) --verifytypes fpnotes --ignoreexternal

format: .venv/installed ## mend what lint and layout can mend by themselves
	.venv/bin/ruff check --fix && .venv/bin/ruff format

# ---- Slides ----
# In the build's folder, where nothing else is disturbed; the checksum is in the file.
_build/reveal: slides/requirements.txt | book
	$(python) -m pip install --quiet --no-compile --no-deps --upgrade --require-hashes --target $@ -r $<
	@touch $@

slides: book _build/reveal ## make slides of the chapters in dist/slides, to show without a network
	$(python) slides/build.py

# ---- The problem sets, in an environment of their own that readers do not need ----
.venv-otter/installed: assignments/requirements.txt
	$(PYTHON) -m venv .venv-otter
	.venv-otter/bin/python -m pip install --quiet --no-compile --require-hashes -r assignments/requirements.txt
	@touch $@

assignments: .venv-otter/installed ## make the problem sets: student and instructor versions, autograders, in dist (SETS="1-fixed-points ..." for some, SEED=7 for a class with numbers of its own)
	.venv-otter/bin/python assignments/build.py $(if $(SEED),--seed $(SEED)) $(SETS)

keys: .venv/installed assignments ## print the keys and rubrics for assistants: dist/keys, beside their tables (SETS, SEED as above)
	PYTHONPATH=book/editions $(python) assignments/print_keys.py $(if $(SEED),dist/class-$(SEED)/keys)

test-assignments: .venv/installed assignments ## grade right, wrong and broken answers to every problem set
	$(python) -m pytest --whole -m "not slow" tests/course

# ---- Speed, beside others' software, in an environment of its own ----
.venv-bench/installed: benchmarks/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --no-compile --require-hashes -r benchmarks/requirements.txt
	.venv-bench/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

bench: .venv-bench/installed ## measure speed and memory, beside other libraries: fpnotes/chapters/tables/speed-*.csv, and tables in Markdown (minutes)
	@for question in standard growth published steps; do echo "## $$question"; .venv-bench/bin/python benchmarks/$$question.py || exit; done

# ---- PyTorch and JAX, in an environment of their own ----
.venv-frameworks/installed: tests/frameworks/requirements.txt pyproject.toml
	$(PYTHON) -m venv .venv-frameworks
	.venv-frameworks/bin/python -m pip install --quiet --no-compile --require-hashes -r tests/frameworks/requirements.txt
	.venv-frameworks/bin/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

test-frameworks: .venv-frameworks/installed ## test the fixed point inside PyTorch and JAX (a download of 300 MB)
	JAX_PLATFORMS=cpu .venv-frameworks/bin/python -m pytest --whole tests/frameworks

# ---- What tests the tests and the supply chain, in an environment of its own ----
.venv-tools/installed: tests/tools/requirements.txt
	$(PYTHON) -m venv .venv-tools
	.venv-tools/bin/python -m pip install --quiet --no-compile --require-hashes -r tests/tools/requirements.txt
	@touch $@

mutants: .venv/installed .venv-tools/installed ## make small mistakes in modules: which would no test notice? (hours; MODULES="rules ..." SAMPLE=50 for some)
	.venv-tools/bin/python tests/tools/mutants.py $(MODULES) $(if $(SAMPLE),--sample $(SAMPLE))

# A build for processors alone, +cpu, is known by the version without.
audit: .venv-tools/installed ## look up the known vulnerabilities of everything that is pinned
	@mkdir -p _build; for pins in $$(git ls-files '*requirements.txt'); do echo "$$pins"; sed 's/+cpu / /' $$pins >_build/audited.txt; \
	  .venv-tools/bin/pip-audit --strict --disable-pip --require-hashes -r _build/audited.txt || failed=1; done; exit $${failed:-0}

zizmor: .venv-tools/installed ## do the workflows give away more than they must?
	.venv-tools/bin/zizmor --offline .github

# ---- A release: RELEASING.md ----
# Wheel and sdist, and a trial of both: the tests that the sdist brings, run on what the wheel installs.
trial := _build/trial
package: .venv/installed ## build wheel and sdist in dist/package, and try them in an environment of their own
	rm -rf dist/package $(trial) && mkdir -p dist/package $(trial)/sdist
	$(python) -c 'from flit_core import buildapi; buildapi.build_sdist("dist/package"); buildapi.build_wheel("dist/package")'
	tar -xf dist/package/*.tar.gz --strip-components 1 -C $(trial)/sdist
	.venv/bin/uv venv --quiet --no-python-downloads --python $(PYTHON) --seed $(trial)/venv
	.venv/bin/uv pip compile $(trial)/sdist/pyproject.toml --extra test --constraint requirements.txt --only-binary :all: \
	  --python $(trial)/venv --generate-hashes --no-annotate --quiet -o $(trial)/requirements.txt
	.venv/bin/uv pip install --quiet --python $(trial)/venv --require-hashes -r $(trial)/requirements.txt
	.venv/bin/uv pip install --quiet --python $(trial)/venv --no-deps --no-build-isolation dist/package/*.whl
	cd $(trial)/sdist && ../venv/bin/python -P -m pytest --import-mode append -n 2 --dist loadscope tests/package

agreed: .venv/installed
	$(python) .ci/release.py --check $(TAG)

release: agreed package pdf slides assignments ## everything that a release holds, in dist/release, after checks (TAG=v0.1.0)
	$(python) .ci/release.py $(TAG)

# ---- Housekeeping ----
requirements: .venv/installed ## pin pyproject.toml's dependencies in requirements.txt (UPGRADE=1: at their newest)
	.venv/bin/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make requirements" --quiet $(if $(UPGRADE),--upgrade) -o requirements.txt
	.venv/bin/uv pip compile pyproject.toml assignments/requirements.in --constraint requirements.txt --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make requirements" --quiet $(if $(UPGRADE),--upgrade) -o assignments/requirements.txt
	.venv/bin/uv pip compile pyproject.toml benchmarks/requirements.in --constraint requirements.txt --python-platform x86_64-manylinux_2_28 --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make requirements" --quiet \
	  $(if $(UPGRADE),--upgrade) $(if $(TORCH),--find-links $(TORCH)) -o benchmarks/requirements.txt
	.venv/bin/uv pip compile pyproject.toml tests/frameworks/requirements.in --constraint requirements.txt --constraint benchmarks/requirements.txt \
	  --python-platform x86_64-manylinux_2_28 --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	  --custom-compile-command "make requirements" --quiet $(if $(UPGRADE),--upgrade) $(if $(TORCH),--find-links $(TORCH)) -o tests/frameworks/requirements.txt
	.venv/bin/uv pip compile tests/tools/requirements.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --custom-compile-command "make requirements" --quiet $(if $(UPGRADE),--upgrade) -o tests/tools/requirements.txt

clean: ## remove everything that was built or installed
	rm -rf _build .venv .venv-otter .venv-bench .venv-frameworks .venv-tools dist .pytest_cache .ruff_cache .hypothesis
