export default "sub path";
