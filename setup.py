"""Metadata of the meta_shrink distribution; tool settings are in pyproject.toml."""

import re
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
# Read, not imported: the build environment has none of the package's requirements.
INIT_LINES = (HERE / "meta_shrink" / "__init__.py").read_text(encoding="utf-8").splitlines()
VERSION = next(line.split('"')[1] for line in INIT_LINES if line.startswith("__version__"))


class WithConfigs(build_py):
    """Puts the folder `configs` into the wheel, where meta_shrink/programs/shipped.py looks."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for path in Path("configs").rglob("*.py"):
                target = Path(self.build_lib, "meta_shrink", "shipped", path)
                self.mkpath(str(target.parent))
                self.copy_file(str(path), str(target))


# Where the repository is published, as GitHub lays its pages out. The package page has no files
# beside it, so the README's links lead there; whoever publishes elsewhere changes this line.
PROJECT_URL = "https://github.com/meta-shrink/meta_shrink"
README = re.sub(
    r"\]\((?!https?:|#)", f"]({PROJECT_URL}/blob/main/", (HERE / "README.md").read_text("utf-8")
)

# TensorFlow comes as three distributions of one module. As a plain dependency, one of them would
# overwrite another that is already installed, so each is an extra.
TENSORFLOW = {
    "cpu": ["tensorflow-cpu>=2.17,<2.22"],
    "gpu": ["tensorflow[and-cuda]>=2.17,<2.22"],
    # Later libtpu releases abort the import of this TensorFlow.
    "tpu": ["tensorflow-tpu==2.20.0", "libtpu>=0.0.14,<0.0.32"],
}

setup(
    name="meta_shrink",
    version=VERSION,
    description="Modular meta-learning with shrinkage, for TensorFlow and Keras",
    long_description=README,
    long_description_content_type="text/markdown",
    url=PROJECT_URL,
    project_urls={
        "Source": PROJECT_URL,
        "Issues": f"{PROJECT_URL}/issues",
        "Changelog": f"{PROJECT_URL}/blob/main/CHANGELOG.md",
    },
    author="The meta_shrink authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    cmdclass={"build_py": WithConfigs},
    packages=find_packages(include=["meta_shrink", "meta_shrink.*"]),
    package_data={"meta_shrink": ["py.typed", "**/*.html", "**/*.md"]},
    entry_points={"console_scripts": ["meta-shrink = meta_shrink.programs.command_line:main"]},
    python_requires=">=3.11,<3.13",
    install_requires=[
        "absl-py>=2.1",
        "keras>=3.15,<4",
        "ml-collections>=1.1",
        "ml-dtypes>=0.4",
        "numpy>=1.26",
        "rich>=13",
        "safetensors>=0.4.3",
        # The quantiles of every interval.
        "scipy>=1.11",
        "tensorboard>=2.17",
    ],
    extras_require={
        **TENSORFLOW,
        # tensorflow-datasets 4.9.10 imports importlib_resources without requiring it.
        "images": ["importlib_resources", "pillow>=10.1", "tensorflow-datasets>=4.9.10"],
        # pyworld 0.3.5 imports pkg_resources, which setuptools 82 lacks: speech/signal.py helps it.
        "speech": ["g2p_en", "pocketsphinx>=5.0.4", "pyworld>=0.3.4", "soundfile"],
        "report": ["jinja2>=3.1", "matplotlib>=3.9"],
        # Pinned: scores by another version of a network are other scores.
        "score": ["distillmos==0.9.1", "resemblyzer==0.1.4", "torch>=2.4"],
        "search": ["optuna>=4"],
        "gcs": ["gcsfs>=2025.3"],
        "serve": ["aiohttp>=3.9", "prometheus-client>=0.20"],
        "litert": ["ai-edge-litert>=1.4"],
        # model-signing 1.1 imports OpenSSL without requiring it.
        "sign": ["model-signing>=1.1", "pyopenssl>=24"],
        "bench": ["jax>=0.5", "torch>=2.4"],
        "docs": ["mkdocs-material>=9.5", "mkdocstrings[python]>=0.26"],
        "dev": [
            "hypothesis>=6",
            "ipykernel>=6",
            "nbclient>=0.10",
            "pre-commit>=4",
            "pyright[nodejs]>=1.1.400",
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.9",
            "twine>=6",
            # Data of docs/your_own.md.
            "vega_datasets>=0.9",
        ],
    },
)
