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
        name: "app-HK43MMYF.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-HK43MMYF.js"),
        gzip: include_bytes!("../files/app-HK43MMYF.js.gz"),
    },
    DashboardFile {
        name: "app-ULNJKNGA.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-ULNJKNGA.css"),
        gzip: include_bytes!("../files/app-ULNJKNGA.css.gz"),
    },
    DashboardFile {
        name: "de-TP5AK5AJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-TP5AK5AJ.js"),
        gzip: include_bytes!("../files/de-TP5AK5AJ.js.gz"),
    },
    DashboardFile {
        name: "es-IANDTOD5.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-IANDTOD5.js"),
        gzip: include_bytes!("../files/es-IANDTOD5.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-DPOQETBN.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-DPOQETBN.js"),
        gzip: include_bytes!("../files/pt-DPOQETBN.js.gz"),
    },
];
