import CryptoJS from "crypto-js";
export default () => { const box = CryptoJS.AES.encrypt("message", "key").toString(); return [CryptoJS.AES.decrypt(box, "key").toString(CryptoJS.enc.Utf8), CryptoJS.MD5("a").toString()]; };
export const expected = ["message", "0cc175b9c0f1b6a831c399e269772661"];
