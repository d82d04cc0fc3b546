import sanitize from "sanitize-html";
export default () => sanitize('<p onclick="x()">hi <script>alert(1)</script><a href="javascript:x">l</a><b>b</b></p>');
export const expected = "<p>hi <a>l</a><b>b</b></p>";
