//! Every way in, over the store in memory: who gets in, who does not, and what is written of it.

#![cfg(test)]

mod house {
    pub(crate) mod world;

    mod passkeys;
    mod programs;
    mod second_factors;
    mod sessions;
    mod set_up;
    mod users;
    mod wallets;
}
