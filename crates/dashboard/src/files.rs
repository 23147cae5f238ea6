//! Written by `cargo xtask web`.

use crate::DashboardFile;

pub static PAGE: DashboardFile = DashboardFile {
    name: "index.html",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../files/index.html"),
    gzip: include_bytes!("../files/index.html.gz"),
};

pub static ASSETS: &[DashboardFile] = &[
    DashboardFile {
        name: "app-NV3CD7IB.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-NV3CD7IB.js"),
        gzip: include_bytes!("../files/app-NV3CD7IB.js.gz"),
    },
    DashboardFile {
        name: "app-ULNJKNGA.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-ULNJKNGA.css"),
        gzip: include_bytes!("../files/app-ULNJKNGA.css.gz"),
    },
    DashboardFile {
        name: "de-VCLGEUUT.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-VCLGEUUT.js"),
        gzip: include_bytes!("../files/de-VCLGEUUT.js.gz"),
    },
    DashboardFile {
        name: "es-QDLJWCFO.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-QDLJWCFO.js"),
        gzip: include_bytes!("../files/es-QDLJWCFO.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-EUWPC3IL.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-EUWPC3IL.js"),
        gzip: include_bytes!("../files/pt-EUWPC3IL.js.gz"),
    },
];
