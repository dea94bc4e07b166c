//! What can be said of a difference between two things that were measured several times, in turn.
//!
//! A round measures both. The machine is another one in every round, so that only the ratio within a round is
//! believed: its logarithms have a mean, and Student's t gives the interval around it that holds the true ratio 95
//! times in 100.

use crate::document::{Row, Verdict};

/// Quantiles of Student's t for 95 % on two sides, by degrees of freedom from 1 on.
const T: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];
/// And for more.
const T_MANY: f64 = 1.96;

/// A figure, and which way is better.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    pub name: &'static str,
    pub more_is_better: bool,
}

/// Compares a figure of `b` with that of `a`, round by round. None when a round lacks it, or there are fewer than two.
pub fn compare(figure: Figure, a: &[f64], b: &[f64]) -> Option<Row> {
    let sound = |value: &f64| value.is_finite() && *value > 0.0;
    if a.len() != b.len() || a.len() < 2 || !a.iter().chain(b).all(sound) {
        return None;
    }
    let logarithms: Vec<f64> = a.iter().zip(b).map(|(a, b)| (b / a).ln()).collect();
    let rounds = logarithms.len() as f64;
    let mean = logarithms.iter().sum::<f64>() / rounds;
    let variance = logarithms.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (rounds - 1.0);
    let half = T.get(a.len() - 2).copied().unwrap_or(T_MANY) * (variance / rounds).sqrt();
    let (low, high) = ((mean - half).exp(), (mean + half).exp().min(f64::MAX));
    let verdict = match figure.more_is_better {
        _ if low <= 1.0 && high >= 1.0 => Verdict::Same,
        more_is_better if (low > 1.0) == more_is_better => Verdict::Better,
        _ => Verdict::Worse,
    };
    let (a, b) = (median(a.iter().copied()), median(b.iter().copied()));
    Some(Row { figure: figure.name.into(), a, b, ratio: mean.exp(), low, high, verdict })
}

/// The middle value; of an even number the upper of the two. NaN of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The least value that so many of a hundred do not exceed. NaN of none.
pub fn percentile(values: impl IntoIterator<Item = f64>, percent: f64) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let rank = (percent / 100.0 * values.len() as f64).ceil() as usize;
    values.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MORE: Figure = Figure { name: "throughput", more_is_better: true };
    const LESS: Figure = Figure { name: "p99", more_is_better: false };

    #[test]
    fn the_interval_is_students() {
        // ln 2 and ln 4: mean 1.5 ln 2, deviation ln 2 / sqrt 2, so half = 12.706 * ln 2 / 2.
        let row = compare(MORE, &[1.0, 1.0], &[2.0, 4.0]).unwrap();
        let half = 12.706 * 2f64.ln() / 2.0;
        assert!((row.ratio - 2f64.powf(1.5)).abs() < 1e-9);
        assert!((row.high / row.ratio - half.exp()).abs() < 1e-6 && (row.ratio / row.low - half.exp()).abs() < 1e-6);
        assert_eq!(row.verdict, Verdict::Same, "two rounds that differ so much prove nothing");
    }

    #[test]
    fn a_verdict_needs_all_of_the_interval() {
        let a = [100.0, 140.0, 90.0, 120.0];
        let times = |factors: [f64; 4]| -> Vec<f64> { a.iter().zip(factors).map(|(a, factor)| a * factor).collect() };
        let verdict = |figure, factors| compare(figure, &a, &times(factors)).unwrap().verdict;
        assert_eq!(verdict(MORE, [1.5, 1.52, 1.49, 1.51]), Verdict::Better, "drift between rounds does not matter");
        assert_eq!(verdict(LESS, [1.5, 1.52, 1.49, 1.51]), Verdict::Worse);
        assert_eq!(verdict(LESS, [0.5, 0.52, 0.49, 0.51]), Verdict::Better);
        assert_eq!(verdict(MORE, [0.5, 0.52, 0.49, 0.51]), Verdict::Worse);
        assert_eq!(verdict(MORE, [0.98, 1.03, 1.01, 0.99]), Verdict::Same);
        assert_eq!(verdict(MORE, [1.0; 4]), Verdict::Same);
    }

    #[test]
    fn what_was_not_measured_is_not_compared() {
        assert!(compare(MORE, &[1.0], &[1.0]).is_none());
        assert!(compare(MORE, &[1.0, 0.0], &[1.0, 1.0]).is_none());
        assert!(compare(MORE, &[1.0, f64::NAN], &[1.0, 1.0]).is_none());
    }

    /// Of many comparisons of like with like, about one in twenty is called different.
    #[test]
    fn the_interval_is_honest() {
        let mut random = fastrand::Rng::with_seed(5);
        let mut noisy = || (1..=12).map(|_| random.f64()).sum::<f64>() + 20.0;
        let differs = (0..2000)
            .filter(|_| {
                let (a, b): (Vec<f64>, Vec<f64>) = (0..5).map(|_| (noisy(), noisy())).unzip();
                compare(MORE, &a, &b).unwrap().verdict != Verdict::Same
            })
            .count();
        assert!((60..=140).contains(&differs), "{differs} of 2000");
    }

    #[test]
    fn the_median_is_the_middle_of_what_there_is() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([1.0, 2.0]), 2.0);
        assert!(median([]).is_nan());
    }

    #[test]
    fn of_twenty_the_99th_percentile_is_the_longest() {
        let twenty = || (1..=20).rev().map(f64::from);
        assert_eq!([50.0, 95.0, 99.0, 100.0].map(|percent| percentile(twenty(), percent)), [10.0, 19.0, 20.0, 20.0]);
        let many = (1..=1000).map(f64::from);
        assert_eq!(percentile(many, 99.0), 990.0);
        assert!(percentile([], 50.0).is_nan());
    }
}
