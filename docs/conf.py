"""Sphinx configuration. The notebooks are shown with the outputs they were committed with."""

from __future__ import annotations

import os
from importlib.metadata import version as installed

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml

project = "tilegrn"
author = "The tilegrn developers"
copyright = "The tilegrn developers"
release = installed("tilegrn")
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "**.ipynb_checkpoints", "notebooks/*.py"]
# autosummary writes its pages in reST, named by the first of these; as .md they would be shown as they are written.
source_suffix = {".rst": "restructuredtext", ".md": "myst-nb", ".ipynb": "myst-nb"}

nb_execution_mode = "off"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autosummary_generate = True
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_numpy_docstring = True
napoleon_use_rtype = False
napoleon_use_ivar = True

# Links into other projects' pages need the network, so only the hosted build makes them.
if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "anndata": ("https://anndata.readthedocs.io/en/stable", None),
        "mudata": ("https://mudata.readthedocs.io/en/stable", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "pandas": ("https://pandas.pydata.org/docs", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
    }

# Copied without prompts and outputs.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "sphinx_book_theme"
html_title = "tilegrn"
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_math_renderer = "mathml"
html_theme_options = {"show_toc_level": 2}
templates_path = ["_templates"]


def setup(app):
    """Write formulas as MathML, which browsers draw by themselves: MathJax would come from the network."""
    app.add_html_math_renderer("mathml", (formula, None), (displayed, None))


def formula(writer, node):
    writer.body.append(tex2mathml(node.astext()))
    raise SkipNode


def displayed(writer, node):
    drawn = tex2mathml(node.astext().strip()).replace("<math ", '<math display="block" ', 1)
    writer.body.append(f'<div class="formula">{drawn}</div>')
    raise SkipNode
