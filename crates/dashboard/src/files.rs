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
        name: "app-LUFSHLOT.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-LUFSHLOT.css"),
        gzip: include_bytes!("../files/app-LUFSHLOT.css.gz"),
    },
    DashboardFile {
        name: "app-OSR5GTEL.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-OSR5GTEL.js"),
        gzip: include_bytes!("../files/app-OSR5GTEL.js.gz"),
    },
    DashboardFile {
        name: "de-5KCY2SD3.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-5KCY2SD3.js"),
        gzip: include_bytes!("../files/de-5KCY2SD3.js.gz"),
    },
    DashboardFile {
        name: "draw-KSEQBIUC.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-KSEQBIUC.js"),
        gzip: include_bytes!("../files/draw-KSEQBIUC.js.gz"),
    },
    DashboardFile {
        name: "es-G6UJFYP7.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-G6UJFYP7.js"),
        gzip: include_bytes!("../files/es-G6UJFYP7.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-ZOB573FD.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-ZOB573FD.js"),
        gzip: include_bytes!("../files/pt-ZOB573FD.js.gz"),
    },
    DashboardFile {
        name: "settings.gen-7SCCD3DJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/settings.gen-7SCCD3DJ.js"),
        gzip: include_bytes!("../files/settings.gen-7SCCD3DJ.js.gz"),
    },
];
