"""What is written of it: tables, CSV, LaTeX, Markdown, model card, checklists."""
