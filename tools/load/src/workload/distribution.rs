//! Chance, reproducible: which operation, which key, how long a value.

use fastrand::Rng;
use std::iter::repeat_with;
use std::sync::Arc;

/// Chooses among things by their weights, in constant time: Walker's method of aliases.
#[derive(Clone, Debug)]
pub struct WeightedChooser {
    /// Of each thing: the share of its draws that stay with it, and whom the others go to.
    slots: Arc<[(f32, u32)]>,
}

impl WeightedChooser {
    /// Weights are 0 or more and not all 0.
    pub fn new(weights: &[f64]) -> WeightedChooser {
        let total: f64 = weights.iter().sum();
        assert!(total > 0.0 && weights.iter().all(|weight| *weight >= 0.0), "weights: {weights:?}");
        let mut shares: Vec<f64> = weights.iter().map(|weight| weight * weights.len() as f64 / total).collect();
        let mut slots: Vec<(f32, u32)> = (0..weights.len() as u32).map(|number| (1.0, number)).collect();
        let (mut poor, mut rich): (Vec<usize>, Vec<usize>) = (0..shares.len()).partition(|i| shares[*i] < 1.0);
        while let (Some(small), Some(large)) = (poor.pop(), rich.last().copied()) {
            slots[small] = (shares[small] as f32, large as u32);
            shares[large] -= 1.0 - shares[small];
            if shares[large] < 1.0 {
                poor.push(large);
                rich.pop();
            }
        }
        WeightedChooser { slots: slots.into() }
    }

    /// One of them, by its number.
    pub fn pick(&self, random: &mut Rng) -> usize {
        let slot = random.usize(..self.slots.len());
        let (stay, other) = self.slots[slot];
        if random.f32() < stay { slot } else { other as usize }
    }
}

/// Which of a number of keys is used.
#[derive(Clone, Debug, PartialEq)]
pub enum Skew {
    /// All alike.
    Uniform,
    /// The key of rank r is used r^-exponent times as often as the first one.
    Zipf(f64),
}

/// Chooses keys.
#[derive(Clone, Debug)]
pub enum KeyPicker {
    Uniform(usize),
    /// The ranks' chooser, and what spreads neighbouring ranks over the keys.
    Ranked(WeightedChooser, usize),
}

impl KeyPicker {
    /// One of `count` keys, of which there is at least one.
    pub fn new(skew: &Skew, count: usize) -> KeyPicker {
        match skew {
            Skew::Uniform => KeyPicker::Uniform(count),
            Skew::Zipf(exponent) => {
                let weights: Vec<f64> = (1..=count).map(|rank| (rank as f64).powf(-exponent)).collect();
                // A stride without a common factor visits every key once.
                let stride = (count * 61 / 100..).find(|stride| *stride > 0 && gcd(*stride, count) == 1);
                KeyPicker::Ranked(WeightedChooser::new(&weights), stride.expect("one follows within the count"))
            }
        }
    }

    /// A key's number.
    pub fn pick(&self, random: &mut Rng) -> usize {
        match self {
            KeyPicker::Uniform(count) => random.usize(..*count),
            KeyPicker::Ranked(chooser, stride) => {
                let count = chooser.slots.len();
                (chooser.pick(random) as u64 * *stride as u64 % count as u64) as usize
            }
        }
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Lengths of values, or numbers of parts.
#[derive(Clone, Debug)]
pub enum Amount {
    Fixed(usize),
    /// From the first to the second, both included.
    Uniform(usize, usize),
    /// These, chosen by their weights.
    Choice(Vec<usize>, WeightedChooser),
}

impl Amount {
    /// The next one.
    pub fn draw(&self, random: &mut Rng) -> usize {
        match self {
            Amount::Fixed(amount) => *amount,
            Amount::Uniform(low, high) => random.usize(*low..=*high),
            Amount::Choice(amounts, chooser) => amounts[chooser.pick(random)],
        }
    }

    /// The largest it can be.
    pub fn largest(&self) -> usize {
        match self {
            Amount::Fixed(amount) | Amount::Uniform(_, amount) => *amount,
            Amount::Choice(amounts, _) => amounts.iter().copied().max().unwrap_or(0),
        }
    }
}

/// Bytes that values are cut from: no two neighbours alike, and nothing a disk could press together.
#[derive(Clone, Debug)]
pub struct Pool(Arc<[u8]>);

impl Pool {
    /// By so many bytes the pool is longer than the longest value, so that values begin at different places.
    const SLACK: usize = 4096;

    /// For values of up to `longest` bytes.
    pub fn new(longest: usize) -> Pool {
        let mut random = Rng::with_seed(0);
        Pool(repeat_with(|| random.u8(..)).take(longest + Pool::SLACK).collect())
    }

    /// A value of `length` bytes.
    pub fn value(&self, length: usize, random: &mut Rng) -> &[u8] {
        let start = random.usize(..self.0.len() - length);
        &self.0[start..start + length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: usize = 200_000;

    fn shares(count: usize, mut draw: impl FnMut() -> usize) -> Vec<f64> {
        let mut seen = vec![0u32; count];
        (0..DRAWS).for_each(|_| seen[draw()] += 1);
        seen.iter().map(|count| f64::from(*count) / DRAWS as f64).collect()
    }

    fn assert_close(actual: &[f64], expected: &[f64]) {
        for (actual, expected) in actual.iter().zip(expected) {
            // Ten times the standard deviation of a share.
            let allowed = 10.0 * (expected * (1.0 - expected) / DRAWS as f64).sqrt() + 1e-9;
            assert!((actual - expected).abs() < allowed, "{actual} instead of {expected}");
        }
    }

    #[test]
    fn things_are_chosen_by_their_weights() {
        let mut random = Rng::with_seed(1);
        let chooser = WeightedChooser::new(&[3.0, 0.0, 1.0, 6.0]);
        assert_close(&shares(4, || chooser.pick(&mut random)), &[0.3, 0.0, 0.1, 0.6]);
        let one = WeightedChooser::new(&[0.5]);
        assert_eq!(one.pick(&mut random), 0);
    }

    #[test]
    fn a_skew_gives_every_key_its_share() {
        let mut random = Rng::with_seed(2);
        for count in [1, 2, 7, 100] {
            let picker = KeyPicker::new(&Skew::Uniform, count);
            assert_close(&shares(count, || picker.pick(&mut random)), &vec![1.0 / count as f64; count]);
            let picker = KeyPicker::new(&Skew::Zipf(1.0), count);
            let mut found = shares(count, || picker.pick(&mut random));
            found.sort_by(|a, b| b.total_cmp(a));
            let total: f64 = (1..=count).map(|rank| 1.0 / rank as f64).sum();
            assert_close(&found[..1], &[1.0 / total]);
            assert!(count == 1 || found[1] < found[0]);
            assert!(found.iter().all(|share| *share > 0.0), "every key is used: {found:?}");
        }
    }

    #[test]
    fn amounts_stay_within_their_law() {
        let mut random = Rng::with_seed(3);
        assert_eq!(Amount::Fixed(7).draw(&mut random), 7);
        let uniform = Amount::Uniform(2, 4);
        assert_close(&shares(5, || uniform.draw(&mut random)), &[0.0, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        let choice = Amount::Choice(vec![1, 3], WeightedChooser::new(&[9.0, 1.0]));
        assert_close(&shares(4, || choice.draw(&mut random)), &[0.0, 0.9, 0.0, 0.1]);
        assert_eq!([uniform.largest(), choice.largest()], [4, 3]);
    }

    #[test]
    fn values_have_their_length() {
        let (pool, mut random) = (Pool::new(100), Rng::with_seed(4));
        assert!([0, 1, 100].iter().all(|length| pool.value(*length, &mut random).len() == *length));
    }
}
