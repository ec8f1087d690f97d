"""From the records of many runs to an answer: leaderboard, statistics, what matters. It needs no torch."""
