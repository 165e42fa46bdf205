//! What nobody pays for: a lease that was given back and changed, and one that is released before it is accepted.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

async fn given_back(stage: &Stage<'_>) -> Result<DeliveredDoc, String> {
    let delivered = delivered(stage).await?;
    stage.patch(&staff("edu"), OA, &says(false, Some(SLOW)))?;
    stage.until("no pods", |stage| pods(stage) == "0").await?;
    Ok(delivered)
}

#[test]
fn a_split_that_does_not_fit_gives_nothing_back_to_what_was_rejected() {
    tell(async |stage| {
        given_back(stage).await?;
        let mut wrong = world::tenancy(&lessee(), &cores(4))["spec"]["namespaces"].clone();
        wrong[0]["share"]["vcpu-x86"] = json!("400");
        stage.patch(&staff("edu"), OA, &json!({"spec": {"namespaces": wrong}}))?;
        stage
            .until("a word about the split", |stage| {
                condition(stage, "Waiting").is_some_and(|told| told.contains("rule T20"))
            })
            .await?;
        stage.pass(days(1)).await;
        same(&pods(stage), &"0".to_owned())?;
        // and it keeps nothing from what is accepted
        stage.patch(&staff("edu"), OA, &says(true, None))?;
        stage.until("pods", |stage| pods(stage) == "32").await
    });
}

#[test]
fn a_changed_lease_ends_a_rejection_when_it_is_in_place_and_not_when_it_is_asked_for() {
    tell(async |stage| {
        given_back(stage).await?;
        let (lessee, wish) = divided(stage)?;
        stage.patch(&staff("edu"), OA, &world::change(&lessee, &wish))?;
        stage.pass(MINUTE).await;
        same(&pods(stage), &"0".to_owned())?;
        stage.approve("dept-edu", "oa-2-office").await?;
        in_the_way(stage).await?;
        stage.pass(days(30)).await;
        same(&pods(stage), &"0".to_owned())?;
        same(&documents::<DeliveredDoc>(stage).len(), &1)?;

        stage.delete(ADMIN, ["namespaces", "", "edu--test"])?;
        stage
            .until("the changed lease in place", |stage| {
                documents::<DeliveredDoc>(stage).len() == 2
            })
            .await?;
        let second = documents::<DeliveredDoc>(stage).pop().unwrap();
        promised(stage, &second)?;
        stage.until("pods", |stage| pods(stage) == "32").await?;
        same(&billed(stage), &Vec::new())?;
        let mut yes = says(true, None);
        yes["spec"]["acceptance"]["request"] = json!(2);
        stage.patch(&staff("edu"), OA, &yes)?;
        stage
            .until("the lease", |stage| is_in(stage, "Active"))
            .await?;
        let word = last_word(stage)?;
        same(&effective(stage), &vec![(2, word.at)])?;
        let since: Vec<Second> = billed(stage).into_iter().map(|(_, _, at)| at).collect();
        same(&since, &vec![word.at; 3])
    });
}

/// A pod runs, the department asks for the end, and the office says nothing yet. The pod ends, and nobody paid for it.
async fn releasing(stage: &Stage<'_>) -> Result<DeliveredDoc, String> {
    let delivered = delivered(stage).await?;
    pod(stage, "web", "Running")?;
    let release = json!({"spec": {"release": {"reason": "系统下线"}}});
    stage.patch(&staff("edu"), OA, &release)?;
    stage
        .until("the end of what ran", |stage| !is_there(stage, "web"))
        .await?;
    stage.pass(MINUTE).await;
    let told = condition(stage, "Waiting").unwrap_or_default();
    same(&told.contains("nothing of it is billed yet"), &true)?;
    same(&told.contains("workloads still run"), &false)?;
    same(&billed(stage), &Vec::new())?;
    Ok(delivered)
}

/// Goes to a second before the promised instant.
async fn until_just_before(stage: &Stage<'_>, delivered: &DeliveredDoc) {
    let left = delivered.until.since(now(stage)) - 1;
    let left = Duration::from_secs(u64::try_from(left).unwrap());
    stage.pass(left).await;
}

#[test]
fn what_is_still_there_at_the_promised_instant_is_billed_although_its_release_was_asked_for() {
    tell(async |stage| {
        let delivered = releasing(stage).await?;
        until_just_before(stage, &delivered).await;
        same(&effective(stage), &Vec::new())?;
        stage
            .until("the acceptance", |stage| !effective(stage).is_empty())
            .await?;
        same(&effective(stage), &vec![(1, delivered.until)])?;
        stage
            .until("the end of compute", |stage| billed(stage).len() == 5)
            .await?;
        let (ended, begun): (Vec<_>, Vec<_>) =
            billed(stage).into_iter().partition(|fact| fact.1 == 0);
        same(&begun, &whole(4, delivered.until))?;
        // nothing runs, so compute ends at once; the volumes stay
        for (item, _, at) in &ended {
            let is_compute = ["lease/memory", "lease/vcpu-x86"].contains(&item.as_str());
            let soon = (0..=60).contains(&at.since(delivered.until));
            same(&(is_compute, soon), &(true, true))?;
        }

        stage.approve("dept-edu", "oa-release-office").await?;
        stage
            .until("the end", |stage| is_in(stage, "Released"))
            .await?;
        same(&billed(stage).len(), &6)
    });
}

#[test]
fn what_is_rejected_while_it_is_released_is_never_billed() {
    tell(async |stage| {
        let delivered = releasing(stage).await?;
        stage.patch(&staff("edu"), OA, &says(false, Some(SLOW)))?;
        stage
            .until("the rejection", |stage| last_word(stage).is_ok())
            .await?;
        until_just_before(stage, &delivered).await;
        stage.pass(days(2)).await;
        same(&effective(stage), &Vec::new())?;
        stage.approve("dept-edu", "oa-release-office").await?;
        stage
            .until("the end", |stage| is_in(stage, "Released"))
            .await?;
        same(&billed(stage), &Vec::new())
    });
}
