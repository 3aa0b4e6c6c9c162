//! Containers on a real Engine: what runbookd sees of them, what it does to them, and the proxy through which it does.

mod proxy;
