//! Properties of the ring.

use super::*;

fn fleet(count: u16) -> Vec<Member> {
    (1..=count).filter_map(Number::new).map(|number| Member { number, weight: Weight::ONE }).collect()
}

#[test]
fn a_route_names_every_member_once() {
    for spec in [Spec::assignment(), Spec { slots: 1009, ..Spec::default() }] {
        let ring = Ring::build(&fleet(50), &spec).expect("fits");
        for id in 0..1000 {
            let mut order: Vec<usize> = ring.route(id).collect();
            assert_eq!(order.first().copied(), ring.owner(ring.slot(id)));
            order.sort_unstable();
            assert!(order.into_iter().eq(0..50));
        }
    }
}
