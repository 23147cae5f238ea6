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
        name: "app-42B37VOP.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../files/app-42B37VOP.css"),
        gzip: include_bytes!("../files/app-42B37VOP.css.gz"),
    },
    DashboardFile {
        name: "app-HJMOBSYD.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/app-HJMOBSYD.js"),
        gzip: include_bytes!("../files/app-HJMOBSYD.js.gz"),
    },
    DashboardFile {
        name: "de-DC37362J.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/de-DC37362J.js"),
        gzip: include_bytes!("../files/de-DC37362J.js.gz"),
    },
    DashboardFile {
        name: "draw-FBIDOTGT.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/draw-FBIDOTGT.js"),
        gzip: include_bytes!("../files/draw-FBIDOTGT.js.gz"),
    },
    DashboardFile {
        name: "es-RBFWZFZ6.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/es-RBFWZFZ6.js"),
        gzip: include_bytes!("../files/es-RBFWZFZ6.js.gz"),
    },
    DashboardFile {
        name: "icon-DCE9C29E.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../files/icon-DCE9C29E.svg"),
        gzip: include_bytes!("../files/icon-DCE9C29E.svg.gz"),
    },
    DashboardFile {
        name: "pt-7H7XQVUF.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/pt-7H7XQVUF.js"),
        gzip: include_bytes!("../files/pt-7H7XQVUF.js.gz"),
    },
    DashboardFile {
        name: "settings.gen-7SCCD3DJ.js",
        content_type: "text/javascript; charset=utf-8",
        bytes: include_bytes!("../files/settings.gen-7SCCD3DJ.js"),
        gzip: include_bytes!("../files/settings.gen-7SCCD3DJ.js.gz"),
    },
];
