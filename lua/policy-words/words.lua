-- What policy-words looks for, besides its options. Edit it, and `stave reload policy-words`.
return {
    -- A word or several behind each other ("buy now"); "casino*" is what begins so, "*casino*" what holds it anywhere.
    words = {},
    -- A domain stands for all below it.
    domains = {},
}
