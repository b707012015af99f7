"""Report text: sentences, what is wrong with a report, and sentences that ask for a finding."""
