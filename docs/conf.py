"""How Sphinx builds the documentation: MyST pages, docstrings of the public names, the furo theme."""

from importlib.metadata import version as installed_version

project = "Towpath"
author = "Towpath developers"
copyright = f"2026, {author}"
release = installed_version("towpath")
version = release

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

napoleon_google_docstring = False
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"Towpath {release}"
html_show_sphinx = False
