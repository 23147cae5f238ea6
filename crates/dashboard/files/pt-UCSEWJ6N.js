import{a as t}from"./chunk-V6T6DMB3.js";var o={...t};export{o as texts};
