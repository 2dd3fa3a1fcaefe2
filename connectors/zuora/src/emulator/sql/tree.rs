//! What a statement consists of.

use std::fmt;

use chrono::NaiveDateTime;

/// What a query asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Statement {
    ShowTables,
    Describe(Name),
    Select(Box<Query>),
}

/// A `SELECT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Query {
    pub(in super::super) items: Vec<Item>,
    pub(in super::super) table: Name,
    pub(in super::super) alias: Option<String>,
    pub(in super::super) filter: Option<Condition>,
    pub(in super::super) order: Vec<Order>,
    pub(in super::super) limit: Option<usize>,
    /// Some literal of an instant has more than three digits behind the second.
    pub(in super::super) microseconds: bool,
}

/// One item of the select list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Item {
    All,
    One {
        expression: Expression,
        alias: Option<String>,
    },
}

/// One sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Order {
    pub(in super::super) expression: Expression,
    pub(in super::super) descending: bool,
    pub(in super::super) nulls_first: bool,
}

/// Row and column in a text, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}:{}", self.line, self.column)
    }
}

/// A name in lower case, what stands before it behind dots, and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Name {
    pub(in super::super) prefix: Vec<String>,
    pub(in super::super) text: String,
    pub(in super::super) at: Place,
}

/// An expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Expression {
    Column(Name),
    Literal(Literal, Place),
    /// `at_timezone(x, 'zone')`.
    AtTimezone(Box<Expression>, String, Place),
    /// `CAST(x AS varchar)`.
    CastText(Box<Expression>),
    /// `count(*)`.
    CountRows,
    Count(Box<Expression>),
    Min(Box<Expression>),
    Max(Box<Expression>),
}

/// A literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Literal {
    Null,
    Boolean(bool),
    /// Exact digits.
    Number(String),
    Text(String),
    Date(String),
    /// A local time and the zone it is meant in; without one it is the tenant's.
    Timestamp(NaiveDateTime, Option<String>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Operator {
    /// Its spelling in messages.
    pub(in super::super) fn name(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

/// A condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Condition {
    And(Vec<Condition>),
    Or(Vec<Condition>),
    Not(Box<Condition>),
    /// A boolean expression that stands alone.
    Holds(Expression, Place),
    Compare(Expression, Operator, Expression, Place),
    IsNull(Expression),
    Like(Expression, String),
    In(Expression, Vec<Expression>, Place),
}
