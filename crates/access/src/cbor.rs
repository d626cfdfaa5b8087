//! As much of CBOR (RFC 8949) as authenticators write: whole values of known length, in maps.

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A number, negative ones too.
    Int(i64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// Pairs, in their order.
    Map(Vec<(Value, Value)>),
    /// True, false, null, undefined.
    Simple(u8),
}

/// Levels that one value may have inside another.
const DEEPEST: u8 = 8;

/// Pairs or elements that one value may have.
const LONGEST: u64 = 64;

impl Value {
    /// The first value of these bytes, and what follows it; `None` when it is none.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut reader = Reader(bytes);
        let value = reader.value(DEEPEST)?;
        Some((value, reader.0))
    }

    /// What a map has under this key.
    pub(crate) fn under(&self, key: &Self) -> Option<&Self> {
        let Self::Map(pairs) = self else { return None };
        pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// What a map has under this number.
    pub(crate) fn at(&self, key: i64) -> Option<&Self> {
        self.under(&Self::Int(key))
    }

    /// What a map has under this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Self> {
        self.under(&Self::Text(name.to_owned()))
    }

    /// The number, if it is one.
    pub(crate) fn int(&self) -> Option<i64> {
        if let Self::Int(int) = self { Some(*int) } else { None }
    }

    /// The bytes, if it is some.
    pub(crate) fn bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn value(&mut self, deep: u8) -> Option<Value> {
        let deeper = deep.checked_sub(1)?;
        let [first] = self.take(1)?.try_into().ok()?;
        let (kind, low) = (first >> 5, first & 31);
        if kind == 7 {
            return (20..=23).contains(&low).then_some(Value::Simple(low));
        }
        let number = self.number(low)?;
        match kind {
            0 => i64::try_from(number).ok().map(Value::Int),
            1 => i64::try_from(number).ok().map(|number| Value::Int(-1 - number)),
            2 => Some(Value::Bytes(self.take(number)?.to_vec())),
            3 => String::from_utf8(self.take(number)?.to_vec()).ok().map(Value::Text),
            4 if number <= LONGEST => {
                (0..number).map(|_| self.value(deeper)).collect::<Option<_>>().map(Value::List)
            }
            5 if number <= LONGEST => {
                let pairs = (0..number).map(|_| Some((self.value(deeper)?, self.value(deeper)?)));
                pairs.collect::<Option<_>>().map(Value::Map)
            }
            _ => None,
        }
    }

    fn number(&mut self, low: u8) -> Option<u64> {
        let width = match low {
            0..=23 => return Some(u64::from(low)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return None,
        };
        Some(self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn take(&mut self, length: u64) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8949, appendix A.
    #[test]
    fn values_are_those_of_the_standard() {
        let read = |text: &str| Value::read(&hex::decode(text).unwrap()).map(|(value, _)| value);
        let ints = [
            ("00", 0),
            ("17", 23),
            ("1818", 24),
            ("1903e8", 1_000),
            ("1a000f4240", 1_000_000),
            ("20", -1),
            ("3903e7", -1_000),
        ];
        for (text, int) in ints {
            assert_eq!(read(text), Some(Value::Int(int)), "{text}");
        }
        assert_eq!(read("4401020304"), Some(Value::Bytes(vec![1, 2, 3, 4])));
        assert_eq!(read("6449455446"), Some(Value::Text("IETF".to_owned())));
        assert_eq!(read("83010203"), Some(Value::List((1..4).map(Value::Int).collect())));
        let map = read("a26161016162820203").unwrap();
        assert_eq!(map.named("a"), Some(&Value::Int(1)));
        assert_eq!(map.named("b"), Some(&Value::List(vec![Value::Int(2), Value::Int(3)])));
        assert_eq!(read("f6"), Some(Value::Simple(22)));
    }

    #[test]
    fn what_is_cut_off_endless_or_too_deep_is_no_value() {
        let whole = hex::decode("a26161016162820203").unwrap();
        for length in 0..whole.len() {
            assert_eq!(Value::read(&whole[..length]), None, "{length}");
        }
        let deep = [vec![0x81; 100], vec![0]].concat();
        for bytes in [
            &[0x5f_u8, 0x41, 0, 0xff][..],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0x1b; 9],
            &deep,
            &[0x62, 0xff, 0xff],
        ] {
            assert!(
                !matches!(Value::read(bytes), Some((Value::List(_) | Value::Bytes(_) | Value::Text(_), _))),
                "{bytes:?}"
            );
        }
    }
}
