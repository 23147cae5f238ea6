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
        name: "app-JXYGGL2I.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-JXYGGL2I.js"),
        gzip: include_bytes!("../files/app-JXYGGL2I.js.gz"),
    },
    DashboardFile {
        name: "app-LUFSHLOT.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-LUFSHLOT.css"),
        gzip: include_bytes!("../files/app-LUFSHLOT.css.gz"),
    },
    DashboardFile {
        name: "de-F2XZGY6V.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-F2XZGY6V.js"),
        gzip: include_bytes!("../files/de-F2XZGY6V.js.gz"),
    },
    DashboardFile {
        name: "draw-KSEQBIUC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-KSEQBIUC.js"),
        gzip: include_bytes!("../files/draw-KSEQBIUC.js.gz"),
    },
    DashboardFile {
        name: "es-VTBHIW2E.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-VTBHIW2E.js"),
        gzip: include_bytes!("../files/es-VTBHIW2E.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-IKALTN76.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-IKALTN76.js"),
        gzip: include_bytes!("../files/pt-IKALTN76.js.gz"),
    },
];
