//! Containers on a real Engine: what runbookd sees of them, what it does to them, and the proxy through which it does.

mod exec;
mod harm;
mod leftovers;
mod looks;
mod orders;
mod project;
mod proxy;
mod recreate;
mod restart;
mod scale;
mod weather;
