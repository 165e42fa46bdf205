//! Facts of closed months leave a ledger in a PostgreSQL server for files while the operator runs on it.
//!
//! A month does not end within a test, and none may leave sooner than thirty days after its close. So four months before the
//! running one are written into the ledger while the operator is away, three of them closed (`past`). Then it runs, and the
//! maintenance role archives beside it; it must not notice, and closes the next month as if nothing had left (`story`).

#[cfg(test)]
mod past;
#[cfg(test)]
mod story;
