//! Bills do not depend on the operator's life. It is killed twenty times, also on its way up, while a
//! department leases, changes its lease, runs pods, keeps a volume, hands a server over and gives a
//! tenancy back. In the end everything stands as if nothing had happened, nothing is there twice, and
//! every statement is what the recorded times come to.
//!
//! `killing` has the instants, `walk` what people do meanwhile, `proofs` what must hold afterwards.

#[cfg(test)]
mod killing;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod walk;

#[cfg(test)]
mod kills {
    use std::time::Instant;

    use leasehold_e2e::Stage;
    use leasehold_e2e::recount::journal;

    use crate::killing::{Chance, a_start, kill};
    use crate::proofs;
    use crate::walk::{CODE, PODS, walk};

    #[tokio::test]
    async fn twenty_kills_also_of_a_starting_operator_change_no_bill_and_lose_no_second() {
        let chance = Chance::throw(PODS);
        let stage = Stage::shared().await.unwrap();
        let office = stage.office(CODE, "审计局").await.unwrap();
        let start = a_start(stage).await;
        let began = Instant::now();
        let (pods, starting) = tokio::join!(
            Box::pin(walk(&office, began, &chance.lifetimes)),
            Box::pin(kill(stage, began, start, &chance)),
        );
        assert!(starting > 0, "no kill came on the way up, of {start:?}");

        let evidence = Box::pin(proofs::recorded(&office, &pods)).await;
        let changed = proofs::last_change(&evidence.intervals);
        let closed = Box::pin(proofs::closed(&office, changed)).await;
        // once more, because the bills are of what came since as well
        let evidence = Box::pin(proofs::recorded(&office, &pods)).await;
        let journal = journal(&evidence, CODE).await.unwrap();
        proofs::bills_are_what_the_times_come_to(&closed, &evidence.intervals);
        proofs::credit_is_used_by_the_rule(&closed, &journal);
        proofs::the_journal_says_what_the_bills_say(&closed, &journal);
        proofs::leases_have_no_seam(&closed, &evidence.intervals);
        proofs::use_is_counted_once(&pods, &evidence.intervals);
        proofs::each_step_is_recorded_once(&evidence).await;
        proofs::everybody_was_asked_once(&office).await;
        proofs::what_was_leased_stands(&office).await;
        proofs::the_credit_adds_up(&office).await;
        proofs::the_ledger_verifies(stage, &evidence).await;
    }
}
