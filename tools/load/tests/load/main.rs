//! The load tool from outside: what it shows of servers whose behaviour is known, and every command against a real one.

mod real;
mod servers;
mod truth;
