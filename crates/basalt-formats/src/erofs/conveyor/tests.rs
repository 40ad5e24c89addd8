use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Conveyor, WINDOW};

#[test]
fn results_are_taken_in_order_by_any_number_of_threads() {
    for threads in [0, 1, 2, 9] {
        let conveyor = Conveyor::new((0..200).map(|job| job * 1_000_000), threads);
        let mut taken = Vec::new();
        let made = |count: &mut usize, job: usize| {
            *count += 1;
            (0..job * 37 % 900).for_each(|_| std::hint::spin_loop());
            Ok::<_, ()>((job, *count))
        };
        conveyor
            .run(&|| 0, &made, &mut |(job, _)| {
                taken.push(job);
                Ok(())
            })
            .unwrap();
        assert_eq!(taken, (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn nothing_is_a_job_too() {
    let none = Conveyor::new(std::iter::empty(), 4);
    none.run(&|| (), &|(), _| Err::<(), _>("made"), &mut |()| Err("taken")).unwrap();
}

#[test]
fn an_error_ends_it_wherever_it_comes_from() {
    let conveyor = Conveyor::new((0..1000).map(|_| 1), 3);
    let begun = AtomicUsize::new(0);
    let made = |(): &mut (), job| {
        begun.fetch_add(1, Ordering::Relaxed);
        if job == 20 { Err("made") } else { Ok(job) }
    };
    assert_eq!(conveyor.run(&|| (), &made, &mut |_| Ok(())), Err("made"));
    assert!(begun.load(Ordering::Relaxed) < 1000);
    let taken =
        conveyor.run(&|| (), &|(), job| Ok(job), &mut |job| if job == 5 { Err("taken") } else { Ok(()) });
    assert_eq!(taken, Err("taken"));
}

#[test]
fn few_results_wait_for_the_one_whose_turn_it_is() {
    let conveyor = Conveyor::new((0..40).map(|_| WINDOW / 4), 8);
    let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let most = AtomicUsize::new(0);
    let make = |(): &mut (), _| {
        let ahead = made.fetch_add(1, Ordering::SeqCst).saturating_sub(taken.load(Ordering::SeqCst));
        most.fetch_max(ahead, Ordering::SeqCst);
        Ok::<_, ()>(())
    };
    let mut take = |()| {
        taken.fetch_add(1, Ordering::SeqCst);
        Ok(())
    };
    conveyor.run(&|| (), &make, &mut take).unwrap();
    assert!(most.into_inner() <= 4);
}

#[test]
#[should_panic(expected = "a worker's own")]
fn a_panic_ends_all_threads() {
    let conveyor = Conveyor::new((0..100).map(|_| WINDOW / 2), 4);
    let made = |(): &mut (), job| {
        assert!(job != 7, "a worker's own");
        Ok::<_, ()>(())
    };
    conveyor.run(&|| (), &made, &mut |()| Ok(())).unwrap();
}
