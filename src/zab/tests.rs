//! Tests of leader and learner: scripts of one of them (`role`), a whole ensemble under a seed (`cluster`), and
//! peers that send anything (`hostile`).

mod cluster;
mod hostile;
mod node;
mod role;
mod role_text;
