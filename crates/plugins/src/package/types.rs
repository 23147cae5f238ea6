//! TypeScript without its types.

use std::path::Path;

use domain::port::PackageError;
use oxc::{
    allocator::Allocator,
    codegen::Codegen,
    parser::Parser,
    semantic::SemanticBuilder,
    span::SourceType,
    transformer::{TransformOptions, Transformer},
};

/// Whether a file is a script with types; declarations alone are none.
pub(super) fn is_typescript(path: &str) -> bool {
    let script = [".ts", ".mts", ".cts"].iter().any(|ending| path.ends_with(ending));
    script && ![".d.ts", ".d.mts", ".d.cts"].iter().any(|ending| path.ends_with(ending))
}

/// The same script in JavaScript.
pub(super) fn strip(path: &str, source: &str) -> Result<String, PackageError> {
    let fault = |fault: &dyn std::fmt::Display| PackageError(format!("{path}: {fault}"));
    let kind = SourceType::from_path(path).map_err(|error| fault(&error))?;
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, kind).parse();
    if let Some(error) = parsed.diagnostics.first() {
        return Err(fault(error));
    }
    let mut program = parsed.program;
    let scoping =
        SemanticBuilder::new().with_enum_eval(true).build(&program).semantic.into_scoping();
    let done = Transformer::new(&allocator, Path::new(path), &TransformOptions::default())
        .build_with_scoping(scoping, &mut program);
    match done.diagnostics.first() {
        Some(error) => Err(fault(error)),
        None => Ok(Codegen::new().build(&program).code),
    }
}
