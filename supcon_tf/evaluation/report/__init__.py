"""What people read: report.md and its figures."""
