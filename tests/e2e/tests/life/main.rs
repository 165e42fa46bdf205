//! A tenancy's life beside its lease: what others than its department decide on it.

#[cfg(test)]
mod renewal;
#[cfg(test)]
mod suspension;
