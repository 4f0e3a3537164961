"""The configuration of Sphinx. Nothing here comes from another host: no fonts, no scripts, no pictures."""

from importlib.metadata import version as installed_version

project = "robench"
author = "The robench authors"
project_copyright = "the robench authors, MIT licence"
version = release = installed_version("robench")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "docs_site.tree_links",
]
root_doc = "docs/index"
exclude_patterns = ["docs/board"]
suppress_warnings = ["misc.highlighting_failure", "myst.header"]  # pages of older style begin below a heading

# Markdown, as a forge shows it.
myst_heading_anchors = 4
myst_enable_extensions = ["html_image"]
myst_all_links_external = False
# Notebooks come with their outputs; a test runs them.
nb_execution_mode = "off"

# Docstrings: Google's style, a pair of single backticks means code.
default_role = "literal"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "robench"
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_static_path = ["static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True, "top_of_page_buttons": []}
copybutton_exclude = ".linenos, .gp, .go"
