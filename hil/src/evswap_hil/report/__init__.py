"""What a run has shown: a page for people, JSON for programs. (JUnit XML is pytest's own.)"""
