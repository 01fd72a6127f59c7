//! How a parameter reaches its field of the configuration: one accessor for each type of field, and
//! one by hand for each field that has a form of its own.

use std::borrow::Cow;

use super::{
    Complaint, Config, DebugCommand, Form, LogLevel, OutputLimit, Recovery, Slot, SyncPolicy, Value,
};
use crate::keyspace_events::EventClasses;

/// Values that have names.
pub(super) trait Named: Copy + PartialEq + Sized + 'static {
    /// In the order in which error messages list them.
    const NAMES: &'static [(&'static str, Self)];
}

impl Named for SyncPolicy {
    const NAMES: &'static [(&'static str, SyncPolicy)] = &[
        ("everysec", SyncPolicy::EverySecond),
        ("always", SyncPolicy::Always),
        ("no", SyncPolicy::Never),
    ];
}

impl Named for Recovery {
    const NAMES: &'static [(&'static str, Recovery)] =
        &[("strict", Recovery::Strict), ("salvage", Recovery::Salvage)];
}

impl Named for DebugCommand {
    const NAMES: &'static [(&'static str, DebugCommand)] = &[
        ("no", DebugCommand::No),
        ("yes", DebugCommand::Yes),
        ("local", DebugCommand::Local),
    ];
}

impl Named for LogLevel {
    const NAMES: &'static [(&'static str, LogLevel)] = &[
        ("debug", LogLevel::Debug),
        ("verbose", LogLevel::Verbose),
        ("notice", LogLevel::Notice),
        ("warning", LogLevel::Warning),
    ];
}

pub(super) const fn names<T: Named, const N: usize>() -> [&'static str; N] {
    let mut names = [""; N];
    let mut at = 0;
    while at < N {
        names[at] = T::NAMES[at].0;
        at += 1;
    }
    names
}

pub(super) fn name_position<T: Named>(value: T) -> Value {
    let position = T::NAMES.iter().position(|(_, known)| *known == value);
    Value::Choice(position.expect("every value has a name"))
}

macro_rules! flag {
    ($field:ident) => {
        (
            $crate::parameters::Form::Flag,
            $crate::parameters::Slot::Field {
                get: |config| $crate::parameters::Value::Flag(config.$field),
                set: |config, value| {
                    let $crate::parameters::Value::Flag(on) = value else {
                        return Err($crate::parameters::slot::wrong_form());
                    };
                    config.$field = on;
                    Ok(())
                },
            },
        )
    };
}

macro_rules! count {
    ($form:ident, $field:ident, $min:expr, $max:expr) => {
        (
            $crate::parameters::Form::$form {
                min: $min,
                max: $max,
            },
            $crate::parameters::Slot::Field {
                get: |config| {
                    $crate::parameters::Value::Number(config.$field.try_into().unwrap_or(i64::MAX))
                },
                set: |config, value| {
                    let $crate::parameters::Value::Number(number) = value else {
                        return Err($crate::parameters::slot::wrong_form());
                    };
                    config.$field = number
                        .try_into()
                        .map_err(|_| $crate::parameters::slot::wrong_form())?;
                    Ok(())
                },
            },
        )
    };
}

macro_rules! choice {
    ($field:ident, $type:ty) => {
        (
            $crate::parameters::Form::Choice(
                &const {
                    $crate::parameters::slot::names::<
                        $type,
                        { <$type as $crate::parameters::slot::Named>::NAMES.len() },
                    >()
                },
            ),
            $crate::parameters::Slot::Field {
                get: |config| $crate::parameters::slot::name_position(config.$field),
                set: |config, value| {
                    let $crate::parameters::Value::Choice(position) = value else {
                        return Err($crate::parameters::slot::wrong_form());
                    };
                    config.$field = <$type as $crate::parameters::slot::Named>::NAMES[position].1;
                    Ok(())
                },
            },
        )
    };
}

macro_rules! path {
    ($field:ident) => {
        (
            $crate::parameters::Form::Text,
            $crate::parameters::Slot::Field {
                get: |config| {
                    $crate::parameters::Value::Text(
                        config.$field.to_string_lossy().into_owned().into(),
                    )
                },
                set: |config, value| {
                    config.$field =
                        std::path::PathBuf::from($crate::parameters::slot::text_of(value)?);
                    Ok(())
                },
            },
        )
    };
}

pub(super) fn wrong_form() -> Complaint {
    Cow::Borrowed("argument has the wrong form")
}

pub(super) fn text_of(value: Value) -> Result<String, Complaint> {
    let Value::Text(bytes) = value else {
        return Err(wrong_form());
    };
    String::from_utf8(bytes).map_err(|_| Cow::Borrowed("argument must be valid UTF-8"))
}

fn words_of(value: Value) -> Result<Vec<String>, Complaint> {
    let Value::Words(words) = value else {
        return Err(wrong_form());
    };
    words
        .into_iter()
        .map(|word| text_of(Value::Text(word)))
        .collect()
}

fn words_from(text: &str) -> Value {
    Value::Words(
        text.split_whitespace()
            .map(|word| word.as_bytes().to_vec())
            .collect(),
    )
}

/// A parameter that has one value only.
const fn fixed(form: Form, get: fn(&Config) -> Value) -> (Form, Slot) {
    (
        form,
        Slot::Field {
            get,
            set: |_, _| Ok(()),
        },
    )
}

pub(super) const DATABASES: (Form, Slot) =
    fixed(Form::Number { min: 16, max: 16 }, |_| Value::Number(16));
pub(super) const ALWAYS_NO: (Form, Slot) = fixed(Form::Choice(&["no"]), |_| Value::Choice(0));
pub(super) const ALWAYS_ZERO: (Form, Slot) =
    fixed(Form::Memory { min: 0, max: 0 }, |_| Value::Number(0));
pub(super) const NO_EVICTION: (Form, Slot) =
    fixed(Form::Choice(&["noeviction"]), |_| Value::Choice(0));

pub(super) const BIND: (Form, Slot) = (
    Form::Words,
    Slot::Field {
        get: |config| words_from(&config.bind.join(" ")),
        set: |config, value| {
            config.bind = words_of(value)?;
            Ok(())
        },
    },
);

pub(super) const PASSWORD: (Form, Slot) = (
    Form::Text,
    Slot::Field {
        get: |config| Value::Text(config.requirepass.clone()),
        set: |config, value| {
            let Value::Text(password) = value else {
                return Err(wrong_form());
            };
            if password.len() > PASSWORD_LEN_MAX {
                return Err(Cow::Borrowed(
                    "Password is longer than CONFIG_AUTHPASS_MAX_LEN",
                ));
            }
            config.requirepass = password;
            Ok(())
        },
    },
);

/// Longest password, in bytes.
const PASSWORD_LEN_MAX: usize = 512;

pub(super) const EVENTS: (Form, Slot) = (
    Form::Text,
    Slot::Field {
        get: |config| Value::Text(config.notify_keyspace_events.letters().into_bytes()),
        set: |config, value| {
            let Value::Text(letters) = value else {
                return Err(wrong_form());
            };
            config.notify_keyspace_events = EventClasses::parse(&letters).ok_or(Cow::Borrowed(
                "Invalid event class character. Use 'Ag$lshzxeKEtmdn'.",
            ))?;
            Ok(())
        },
    },
);

pub(super) const PERCENTILES: (Form, Slot) = (
    Form::Words,
    Slot::Field {
        get: |config| {
            let shown = config.latency_tracking_info_percentiles.iter();
            Value::Words(
                shown
                    .map(|percentile| percentile.to_string().into_bytes())
                    .collect(),
            )
        },
        set: |config, value| {
            config.latency_tracking_info_percentiles = words_of(value)?
                .iter()
                .map(|word| percentile(word))
                .collect::<Result<_, _>>()?;
            Ok(())
        },
    },
);

fn percentile(word: &str) -> Result<f64, Complaint> {
    match word.parse::<f64>() {
        Ok(number) if (0.0..=100.0).contains(&number) => Ok(number),
        Ok(number) if !number.is_nan() => Err(Cow::Borrowed(
            "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]",
        )),
        _ => Err(Cow::Borrowed(
            "Invalid latency-tracking-info-percentiles parameters",
        )),
    }
}

pub(super) const OUTPUT_LIMITS: (Form, Slot) = (
    Form::Words,
    Slot::Field {
        get: |config| {
            let limits = OUTPUT_CLASSES.iter().zip(config.client_output_buffer_limit);
            let shown = limits.map(|(class, limit)| {
                let OutputLimit {
                    hard,
                    soft,
                    soft_seconds,
                } = limit;
                format!("{class} {hard} {soft} {soft_seconds}")
            });
            words_from(&shown.collect::<Vec<_>>().join(" "))
        },
        set: |config, value| set_output_limits(config, &words_of(value)?),
    },
);

/// The classes of clients as they are shown, in the order of the configuration's array.
const OUTPUT_CLASSES: [&str; 3] = ["normal", "slave", "pubsub"];

fn set_output_limits(config: &mut Config, words: &[String]) -> Result<(), Complaint> {
    if !words.len().is_multiple_of(4) {
        let complaint = "Wrong number of arguments in buffer limit configuration.";
        return Err(Cow::Borrowed(complaint));
    }
    let amount = |word: &String| {
        let bytes = Form::Memory {
            min: 0,
            max: i64::MAX,
        }
        .parse(&[word.as_bytes()]);
        let Ok(Value::Number(bytes)) = bytes else {
            return Err(Cow::Borrowed(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            ));
        };
        Ok(bytes.unsigned_abs())
    };
    let mut limits = config.client_output_buffer_limit;
    for line in words.chunks_exact(4) {
        let class = match line[0].to_ascii_lowercase().as_str() {
            "normal" => 0,
            "slave" | "replica" => 1,
            "pubsub" => 2,
            _ => {
                let complaint = "Invalid client class specified in buffer limit configuration.";
                return Err(Cow::Borrowed(complaint));
            }
        };
        limits[class] = OutputLimit {
            hard: amount(&line[1])?,
            soft: amount(&line[2])?,
            soft_seconds: amount(&line[3])?,
        };
    }
    config.client_output_buffer_limit = limits;
    Ok(())
}

pub(super) const SEGMENT_SIZE: (Form, Slot) = (
    Form::Memory {
        min: 1 << 20,
        max: 1 << 30,
    },
    Slot::Field {
        get: |config| Value::Number(config.segment_size.try_into().unwrap_or(i64::MAX)),
        set: |config, value| {
            let Value::Number(bytes) = value else {
                return Err(wrong_form());
            };
            if bytes % SEGMENT_SIZE_STEP != 0 {
                return Err(Cow::Borrowed("argument must be a multiple of 4096"));
            }
            config.segment_size = bytes.unsigned_abs();
            Ok(())
        },
    },
);

/// A segment is made of whole pages.
const SEGMENT_SIZE_STEP: i64 = 4096;
